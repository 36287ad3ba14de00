"""The config of `ifrkit train-flow`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ifrkit.config.fields import Size, require_possible
from ifrkit.config.training import LoopConfig
from ifrkit.core.bounds import Natural, Positive, Share
from ifrkit.core.config import Config, Runtime


class TrainFlowConfig(Config):
    """`ifrkit train-flow`: FlowNetS from the unlabeled video itself, or from true flow."""

    supervision: Literal["auto", "photometric", "truth"] = "auto"
    """photometric: no labels at all; truth: the dataset's exact flow; auto: truth where the dataset has it."""
    width: Annotated[float, Meta(gt=0, le=4)] = 0.375
    """Channel multiplier of FlowNetS; 3/8 is the released one."""
    max_distance: Natural = 4
    """Pairs at distance 1..max_distance, both orders (truth: always 1)."""
    crop: Size = (256, 512)
    lr: Positive = 1e-4
    weight_decay: float = 4e-4
    """On weights, not on biases."""
    warmup_share: Share = 0.2
    """Share of the steps with L1 + SSIM and the range-map mask, before census and forward-backward check."""
    smoothness: float = 4.0
    loop: LoopConfig = LoopConfig(steps=20000)
    seed: int = 0
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        require_possible("crop", self.crop)
