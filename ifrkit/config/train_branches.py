"""The config of `ifrkit train-branches`: stage one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from ifrkit.config.fields import are_names, plugin_config, split_commas
from ifrkit.config.network import BranchConfig, NetworkConfig
from ifrkit.config.training import BalanceConfig, CropConfig, LabeledSet, LoopConfig
from ifrkit.core.config import Config, Runtime
from ifrkit.core.plugins import spelled


class Rates(Config):
    """Learning rates of an optimizer of stage one, and how they fall."""

    lr_backbone: float = Field(1e-3, gt=0)
    lr_head: float = Field(1e-2, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Each stage of a backbone learns at so much of the rate of the stage after it; the last one at lr_backbone."""
    power: float = 0.9
    """They fall with (1 - step / steps) to this power ..."""
    min_lr: float = Field(1e-4, ge=0)
    """... towards this."""


class SGDConfig(Rates):
    """SGD of stage one, as the released code of IFR sets it."""

    momentum: float = 0.9
    weight_decay: float = 1e-4
    """On every tensor, batch norm and biases included."""


class AdamWConfig(Rates):
    """AdamW (Loshchilov and Hutter, ICLR 2019), which needs fewer steps than SGD from pretrained weights."""

    lr_backbone: float = Field(3e-4, gt=0)
    lr_head: float = Field(1e-3, gt=0)
    min_lr: float = Field(0.0, ge=0)
    weight_decay: float = 0.01


class TrainBranchesConfig(Config):
    """`ifrkit train-branches`: stage one, reference and update branch."""

    PLUGINS: ClassVar[tuple[str, str] | None] = ("ssl", "method")

    ssl: tuple[str, ...] = Field(("ifr",), min_length=1)
    """Semi-supervised methods whose terms are added; `none` is the supervised baseline."""
    method: dict[str, SerializeAsAny[Config]] = {}
    """Options of each method, by its name."""
    branches: tuple[Literal["update", "reference"], ...] = Field(("update", "reference"), min_length=1)
    update: BranchConfig = NetworkConfig(backbone="resnet18")
    """Light network, run on every frame."""
    reference: BranchConfig = NetworkConfig(backbone="resnet101")
    """Heavy network, run on key frames."""
    labeled: LabeledSet = LabeledSet()
    unlabeled: Literal["all", "annotated"] = "all"
    """Frames that image methods draw from unlabeled clips: any, or (image protocol, Table 1) the annotated one."""
    crop: CropConfig = CropConfig()
    balance: BalanceConfig = BalanceConfig()
    sgd: SGDConfig = SGDConfig()
    adamw: AdamWConfig | None = None
    """Instead of SGD. `{}` takes its defaults."""
    warmup: int = Field(0, ge=0)
    """Steps in which the rates grow to their value first."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of an average of the weights over steps that is validated and saved in their place; 0: none."""
    loop: LoopConfig = LoopConfig()
    budget: Literal["steps", "passes"] = "steps"
    """steps: every method takes `loop.steps`. passes: as many image passes as `none` in that many steps."""
    ce_mean: Literal["all", "valid"] = "all"
    """Mean of the supervised cross entropy over all pixels (released code) or over the labeled ones."""
    seed: int = 0
    runtime: Runtime = Runtime()

    _commas = field_validator("ssl", "branches", mode="before")(split_commas)

    @model_validator(mode="before")
    @classmethod
    def _method(cls, data: Any) -> Any:
        if isinstance(data, dict):
            chosen = split_commas(data.get("ssl", cls.model_fields["ssl"].default))
            given = data.get("method") or {}
            if not are_names(chosen) or not isinstance(given, dict):
                return data
            chosen = tuple(dict.fromkeys(map(spelled, chosen)))
            given = {spelled(str(name)): options for name, options in given.items()}
            unknown = [name for name in given if name not in chosen]
            if unknown:
                raise ValueError(
                    f"method.{unknown[0]}: options of a method that --ssl does not name ({','.join(chosen)})"
                )
            method = {n: plugin_config("methods", n, given.get(n), f"method.{n}") for n in chosen}
            data = {**data, "ssl": chosen, "method": method}
        return data
