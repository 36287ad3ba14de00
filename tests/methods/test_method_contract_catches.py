"""The contract test of methods fails for methods that break the contract, here plug-ins of another package."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from torch import Tensor, nn

from ifrkit.core import config as config
from ifrkit.core import plugins
from ifrkit.data.loading.batch import Batch
from ifrkit.data.loading.views import RANDOM, View
from ifrkit.methods import base
from ifrkit.models.losses import cross_entropy, upsample
from ifrkit.models.network import Network
from ifrkit.testing.methods import check_method


class Sound(base.Method):
    """The network's own hard labels of an unlabeled frame teach it, through a layer of its own."""

    class Config(base.Method.Config):
        weight: float = 1.0

    config: Config
    OFF = {"weight": 0.0}

    def views(self) -> list[View]:
        return [View("v1_0", "unlabeled", RANDOM)]

    def build(self, network: Network) -> nn.Module | None:
        self.layer = nn.Conv2d(network.feature_channels, network.num_classes, 1)
        nn.init.constant_(self.layer.weight, 0.01)
        nn.init.zeros_(self.layer.bias)  # type: ignore[arg-type]
        return self.layer

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        f = base.encode(network, batch, features, "v1_0")
        label = base.clean_logits(network, f).argmax(1)
        return {"own": self.config.weight * cross_entropy(network.classify(f) + self.layer(f), label)}


class NeverOff(Sound):
    OFF = {}


class StillOn(Sound):
    @property
    def on(self) -> bool:
        return True


class Unseeded(Sound):
    def build(self, network: Network) -> nn.Module | None:
        super().build(network)
        nn.init.normal_(self.layer.weight)
        return self.layer


class InVain(Sound):
    def views(self) -> list[View]:
        return [*super().views(), View("v1_1", "unlabeled", RANDOM)]


class Idle(Sound):
    def build(self, network: Network) -> nn.Module | None:
        made = super().build(network)
        return nn.ModuleList([made, nn.Conv2d(1, 1, 1)]) if made else None


class DividesByLabels(Sound):
    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        terms, label = super().losses(network, batch, features, step), batch.labels["v0_0"]
        if terms:
            logits = upsample(network.classify(features["v0_0"]), network.stride, label.shape[-2:])
            terms["again"] = nn.functional.cross_entropy(logits, label, ignore_index=255)
        return terms


class Remembers(Sound):
    def __init__(self, options: config.Config) -> None:
        super().__init__(options)
        self.calls = 0

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        self.calls += 1
        return {name: self.calls * term for name, term in super().losses(network, batch, features, step).items()}


BROKEN = {
    NeverOff: "switched off, it declares no view",
    StillOn: "switched off, it declares no view",
    Unseeded: "depends on the network's seed alone",
    InVain: r"no view in vain \(\['v1_1'\]\)",
    Idle: "every trained parameter a gradient",
    DividesByLabels: "with no label at all gives finite terms and gradients",
    Remembers: "goes on as if it had not stopped",
}


def register(monkeypatch: pytest.MonkeyPatch, kind: type[Sound]) -> None:
    point = EntryPoint("mine", f"{__name__}:{kind.__name__}", "ifrkit.methods")
    monkeypatch.setattr(plugins, "_entry_points", lambda group: {"mine": point} if group == "methods" else {})


def test_a_sound_method_of_another_package_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register(monkeypatch, Sound)
    check_method("mine", tmp_path, {"weight": 0.5})


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_check_method_catches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: type[Sound]) -> None:
    register(monkeypatch, kind)
    with pytest.raises(AssertionError, match=f"contract of a method: .*({BROKEN[kind]})"):
        check_method("mine", tmp_path)
