"""The config of `ifrkit train-fusion`: stage two."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ifrkit.config.fields import Size
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.config.training import LabeledSet, LoopConfig
from ifrkit.core.config import ByInput, Config, Runtime
from ifrkit.core.plugins import require, spelled


class AdamConfig(Config):
    """Adam, as the released code of DAVSS sets it."""

    lr: float = Field(1e-4, gt=0)
    """A tenth of it in the second half of the steps."""
    weight_decay: float = 0.0


class PseudoClipsConfig(Config):
    """Stage two on unlabeled clips too, with `--ssl pseudo` (not in the paper)."""

    threshold: float = Field(0.9, ge=0, le=1)
    """A pixel has the class that the reference branch of stage one sees there, if it is that sure of it."""
    weight: float = Field(1.0, ge=0)
    """Of the terms of unlabeled clips."""


class TrainFusionConfig(Config):
    """`ifrkit train-fusion`: stage two, the video model."""

    arch: str = "accel"
    ssl: Literal["none", "pseudo"] = "none"
    """pseudo: also as many unlabeled clips a step, with pseudo labels of the reference branch."""
    pseudo: PseudoClipsConfig = PseudoClipsConfig()
    flow: Annotated[str | None, ByInput()] = None
    """Flow artifact to start from; None: the newest of the same clips, else flow is trained here first."""
    distance: Literal["fixed", "uniform"] = "fixed"
    """Accel, TDNet: distance of the first frame in training, `key_interval - 1` (released code), or uniform from 0."""
    max_distance: int = Field(9, ge=1)
    """DFF, DAVSS: their earlier frames are drawn from so many before the labeled one."""
    key_interval: int = Field(5, ge=1)
    fusion_init: Literal["xavier", "average"] = "xavier"
    """Fusion starts random (released code), or as the mean of both branches (better when steps are few)."""
    pretrain: TrainFlowConfig = TrainFlowConfig()
    """How flow is trained first where no flow artifact is given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights of each branch."""
    labeled: LabeledSet | None = None
    """Default: the labeled set of the branches."""
    crop: Size = (256, 512)
    lr: float = Field(5e-4, gt=0)
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_steps: int = Field(1000, ge=0)
    warmup_lr: float = Field(5e-5, gt=0)
    adam: AdamConfig = AdamConfig()
    """Of DAVSS; the other architectures train with SGD, the four values above."""
    loop: LoopConfig = LoopConfig()
    """Of each phase (DAVSS has two)."""
    seed: int = 0
    runtime: Runtime = Runtime()

    @field_validator("arch")
    @classmethod
    def _arch(cls, name: str) -> str:
        require("architectures", name)
        return spelled(name)
