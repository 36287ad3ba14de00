"""The config of `ifrkit train-branches`: stage one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from ifrkit.config.fields import plugin_config
from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.config.training import BalanceConfig, CropConfig, LabeledSet, LoopConfig
from ifrkit.core.bounds import Count, NotNegative, Positive
from ifrkit.core.config import Config, Open, Runtime, settle
from ifrkit.core.invalid import Invalid
from ifrkit.core.plugins import spelled

LIGHT = NetworkConfig(backbone="resnet18")
HEAVY = NetworkConfig(backbone="resnet101")


class Rates(Config):
    """Learning rates of an optimizer of stage one, and how they fall."""

    lr_backbone: Positive = 1e-3
    lr_head: Positive = 1e-2
    layer_decay: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Each stage of a backbone learns at so much of the rate of the stage after it; the last one at lr_backbone."""
    power: float = 0.9
    """They fall with (1 - step / steps) to this power ..."""
    min_lr: NotNegative = 1e-4
    """... towards this."""


class SGDConfig(Rates):
    """SGD of stage one, as the released code of IFR sets it."""

    momentum: float = 0.9
    weight_decay: float = 1e-4
    """On every tensor, batch norm and biases included."""


class AdamWConfig(Rates):
    """AdamW (Loshchilov and Hutter, ICLR 2019), which needs fewer steps than SGD from pretrained weights."""

    lr_backbone: Positive = 3e-4
    lr_head: Positive = 1e-3
    min_lr: NotNegative = 0.0
    weight_decay: float = 0.01


class TrainBranchesConfig(Config):
    """`ifrkit train-branches`: stage one, reference and update branch."""

    PLUGINS = ("ssl", "method")
    COMMAS = ("ssl", "branches")

    ssl: Annotated[tuple[str, ...], Meta(min_length=1)] = ("ifr",)
    """Semi-supervised methods whose terms are added; `none` is the supervised baseline."""
    method: Open[dict[str, Config]] = {}
    """Options of each method, by its name."""
    branches: Annotated[tuple[Literal["update", "reference"], ...], Meta(min_length=1)] = ("update", "reference")
    update: Open[NetworkConfig] = LIGHT
    """Light network, run on every frame."""
    reference: Open[NetworkConfig] = HEAVY
    """Heavy network, run on key frames."""
    labeled: LabeledSet = LabeledSet()
    unlabeled: Literal["all", "annotated"] = "all"
    """Frames that image methods draw from unlabeled clips: any, or (image protocol, Table 1) the annotated one."""
    crop: CropConfig = CropConfig()
    balance: BalanceConfig = BalanceConfig()
    sgd: SGDConfig = SGDConfig()
    adamw: AdamWConfig | None = None
    """Instead of SGD. `{}` takes its defaults."""
    warmup: Count = 0
    """Steps in which the rates grow to their value first."""
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Decay of an average of the weights over steps that is validated and saved in their place; 0: none."""
    loop: LoopConfig = LoopConfig()
    budget: Literal["steps", "passes"] = "steps"
    """steps: every method takes `loop.steps`. passes: as many image passes as `none` in that many steps."""
    ce_mean: Literal["all", "valid"] = "all"
    """Mean of the supervised cross entropy over all pixels (released code) or over the labeled ones."""
    seed: int = 0
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        chosen = tuple(dict.fromkeys(map(spelled, self.ssl)))
        settle(
            self,
            ssl=chosen,
            method=_options(self.method, chosen),
            update=network_config(self.update, "update"),
            reference=network_config(self.reference, "reference"),
        )


def _options(given: Any, chosen: tuple[str, ...]) -> dict[str, Config]:
    """Those of each chosen method. Raises Invalid for those of another."""
    if not isinstance(given, dict | None):
        raise Invalid("method", f"has to be a table of keys and values, got {given!r}")
    given = {spelled(str(name)): options for name, options in (given or {}).items()}
    for name in given:
        if name not in chosen:
            raise Invalid(f"method.{name}", f"options of a method that --ssl does not name ({','.join(chosen)})")
    return {name: plugin_config("methods", name, given.get(name), f"method.{name}") for name in chosen}
