"""What the configs of several training stages share: labeled set, crops, the loop."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace

from ifrkit.config.fields import Size, require_possible
from ifrkit.core.bounds import Natural, Positive, Share
from ifrkit.core.config import Config, FileContent
from ifrkit.core.errors import ConfigError


class LabeledSet(Config):
    """Which training clips may show their label."""

    partition: Annotated[str, Meta(pattern=r"^1/[1-9][0-9]*$")] = "1/1"
    """1/2, 1/4, 1/8, 1/16, 1/30, ... of the training clips."""
    count: Natural | None = None
    """So many clips instead of a share."""
    seed: int = 0
    """Which draw of that size."""
    list: Annotated[str | None, FileContent()] = None
    """A published list of labeled frames instead (a file, one annotated frame a line)."""

    @property
    def named(self) -> str:
        """Its size as a word: "1/8", "15 clips", or "list"."""
        if self.list is not None:
            return "list"
        return self.partition if self.count is None else f"{self.count} clips"


class CropConfig(Config):
    """Geometry of training samples, in the order of the released code of IFR."""

    size: Size = (256, 512)
    max_class_share: Annotated[float, Meta(gt=0, le=1)] = 0.75
    """A labeled crop is drawn again while one class covers more than this share of its labeled pixels ..."""
    tries: Natural = 10
    """... at most this often."""
    flip: Share = 0.5
    """Probability of a horizontal flip."""
    shared_flip: bool = False
    """One flip for all frames of a clip (released code: one for each frame)."""
    fit: bool = False
    """A crop larger than the frames shrinks to them; else it is an error."""
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    """Frames are enlarged by a factor from this range, every size of it as likely (log-uniform)."""
    jitter: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Brightness, contrast and saturation of the labeled frame change by up to this share."""
    rare: Share = 0.0
    """Share of labeled crops that are drawn to show one class, a rare one more often (1 / sqrt of its frequency)."""

    def __post_init__(self) -> None:
        require_possible("size", self.size)
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale {self.scale[0]:g} to {self.scale[1]:g}: the smaller factor comes first")

    def fitted(self, size: tuple[int, int]) -> CropConfig:
        """This crop in frames of that (height, width)."""
        if not self.fit:
            return self
        height, width = (min(own, whole) for own, whole in zip(self.size, size, strict=True))
        return replace(self, size=(height, width))


class BalanceConfig(Config):
    """What is done against classes that have few pixels."""

    by: Literal["none", "power", "median", "effective", "ohem", "lovasz", "dice"] = "none"
    """power, median, effective: weights by the labeled pixels of each class in cross entropies. ohem, lovasz, dice:
    another supervised loss."""
    power: Share = 0.5
    """by=power: weight 1 / frequency to this power."""
    cap: Positive = 10.0
    """No class weighs more; 1 is the mean over the labeled pixels."""
    pseudo: Share = 0.0
    """Where methods learn from labels that a network gave, the weights count to this power; 0: not at all. A network
    that learned with weights calls rare classes often; weights on its own labels, too, let them grow without end."""


class LoopConfig(Config):
    """The one training loop."""

    steps: Natural = 40000
    batch: Natural = 4
    """Labeled (and as many unlabeled) clips a step, over all ranks."""
    accumulate: Natural = 1
    """Micro-batches a step; `batch` must be divisible by it (times the number of ranks)."""
    eval_every: Natural = 1000
    clip_norm: Positive | None = None
    """A longer gradient of all parameters is shortened to this norm."""
    amp: Literal["off", "bf16", "fp16", "auto"] = "off"
    """Half precision of the forward passes. auto: bf16 where processor or GPU compute in it, else off."""
    channels_last: bool = False

    def share(self, ranks: int) -> int:
        """Samples of one pass on each of so many ranks. Raises ConfigError where they do not divide the batch."""
        parts = self.accumulate * ranks
        if self.batch % parts:
            fault = f"loop.batch {self.batch} is not a multiple of micro-batches times ranks ({parts})"
            raise ConfigError(fault, "change it")
        return self.batch // parts
