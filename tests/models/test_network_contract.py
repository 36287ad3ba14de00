"""Every built-in backbone and head keeps the contract; the checks see what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from ifrkit.core.plugins import load, names
from ifrkit.models.layers import ConvBNReLU
from ifrkit.models.normalisation import Normalisation
from ifrkit.models.trunk import Trunk
from ifrkit.testing.networks import check_backbone, check_head

WIDTH = {"width": 0.0625}


@pytest.mark.parametrize(
    "name", [name for name in names("backbones") if load("backbones", name).Config.ARGUMENT is None]
)
def test_built_in_backbones(name: str) -> None:
    check_backbone(name, WIDTH)


@pytest.mark.parametrize("name", names("heads"))
def test_built_in_heads(name: str) -> None:
    check_head(name)


def test_they_are_listed_by_their_files() -> None:
    assert {"resnet18", "resnet34", "resnet50", "resnet101"} <= set(names("backbones"))
    assert {"psp", "deeplabv3plus"} <= set(names("heads"))


class _Lossy(Normalisation):
    def undo(self, images_b3hw: torch.Tensor) -> torch.Tensor:
        return super().undo(images_b3hw) * 0.9


class _Drifting(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(())


def _with(change: Callable[[Any], None]) -> Callable[[Any, bool], Trunk]:
    build = load("backbones", "resnet18").build

    def changed(self: Any, low_level: bool) -> Trunk:
        trunk: Trunk = build(self, low_level)
        change(trunk)
        return trunk

    return changed


BROKEN = {
    "the last map has the stride": ("build", _with(lambda trunk: setattr(trunk, "strides", [4]))),
    "one map, or two": ("build", _with(lambda trunk: setattr(trunk, "channels", [1, 2, 3]))),
    "maps are": ("build", _with(lambda trunk: setattr(trunk, "channels", [3]))),
    "not mix, and nothing is random": ("build", _with(lambda trunk: trunk.layer4.append(_Drifting()))),
    "a gradient reaches": ("build", _with(lambda trunk: setattr(trunk, "idle", ConvBNReLU(8, 8, 1)))),
    "undo gives the frames back": ("normalisation", _Lossy((0, 0, 0), (1, 1, 1))),
    "does not fit": ("import_state", lambda self, state: {f"x.{key}": value for key, value in state.items()}),
    "remedy": ("remedy", lambda self, state: "one\ntwo"),
    "the first of its strides": ("stride", 16),
}


@pytest.mark.parametrize("contract", BROKEN)
def test_check_backbone_catches(monkeypatch: pytest.MonkeyPatch, contract: str) -> None:
    monkeypatch.setattr(load("backbones", "resnet18"), *BROKEN[contract])
    with pytest.raises(Exception, match=contract):
        check_backbone("resnet18", WIDTH)


@pytest.mark.parametrize(
    ("contract", "name", "value"),
    [
        ("f is not negative", "features", lambda self, maps: self.before_relu(maps)),
        ("dropout is in the classifier", "classify", lambda self, f: self.conv_seg(f)),
        ("logits are as large", "classify", lambda self, f: self.conv_seg(f)[..., 1:]),
    ],
)
def test_check_head_catches(monkeypatch: pytest.MonkeyPatch, contract: str, name: str, value: Any) -> None:
    monkeypatch.setattr(load("heads", "psp"), name, value)
    with pytest.raises(AssertionError, match=contract):
        check_head("psp")
