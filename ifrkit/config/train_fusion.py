"""The config of `ifrkit train-fusion`: stage two."""

from __future__ import annotations

from typing import Annotated, Literal

from ifrkit.config.fields import Size, require_possible
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.config.training import LabeledSet, LoopConfig
from ifrkit.core.bounds import Count, Natural, NotNegative, Positive, Share
from ifrkit.core.config import ByInput, Config, Runtime, settle
from ifrkit.core.plugins import require, spelled


class AdamConfig(Config):
    """Adam, as the released code of DAVSS sets it."""

    lr: Positive = 1e-4
    """A tenth of it in the second half of the steps."""
    weight_decay: float = 0.0


class PseudoClipsConfig(Config):
    """Stage two on unlabeled clips too, with `--ssl pseudo` (not in the paper)."""

    threshold: Share = 0.9
    """A pixel has the class that the reference branch of stage one sees there, if it is that sure of it."""
    weight: NotNegative = 1.0
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
    max_distance: Natural = 9
    """DFF, DAVSS: their earlier frames are drawn from so many before the labeled one."""
    key_interval: Natural = 5
    fusion_init: Literal["xavier", "average"] = "xavier"
    """Fusion starts random (released code), or as the mean of both branches (better when steps are few)."""
    pretrain: TrainFlowConfig = TrainFlowConfig()
    """How flow is trained first where no flow artifact is given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights of each branch."""
    labeled: LabeledSet | None = None
    """Default: the labeled set of the branches."""
    crop: Size = (256, 512)
    lr: Positive = 5e-4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_steps: Count = 1000
    warmup_lr: Positive = 5e-5
    adam: AdamConfig = AdamConfig()
    """Of DAVSS; the other architectures train with SGD, the four values above."""
    loop: LoopConfig = LoopConfig()
    """Of each phase (DAVSS has two)."""
    seed: int = 0
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        require_possible("crop", self.crop)
        require("architectures", self.arch)
        settle(self, arch=spelled(self.arch))
