"""The config of `ifrkit predict`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ifrkit.config.fields import Size, label_formats, split_commas
from ifrkit.core.config import ByInput, Config, Runtime

CONFIDENCE = "confidence"


class PredictConfig(Config):
    """`ifrkit predict`: class ids of every frame of the user's own videos."""

    videos: Annotated[tuple[str, ...], ByInput()] = Field(min_length=1)
    """Video files, folders of frames, patterns, a camera's number, rtsp://...; what files hold counts for the id."""
    frames: int | None = Field(None, ge=1)
    """At most so many frames of each video: a camera has no end."""
    branch: Literal["update", "reference"] | None = None
    """Which one, of a branches artifact; None: the reference branch if there is one."""
    key_policy: Literal["fixed", "adaptive"] = "fixed"
    """adaptive: a key frame where the warped picture of the last one differs by more than `key_threshold`."""
    key_interval: int | None = Field(None, ge=1)
    """Frames from one key frame to the next (adaptive: at most). None: as in training (adaptive: no limit)."""
    key_threshold: float = Field(0.5, gt=0)
    """Difference as a share of the contrast: 0 all is explained, 0.7 to 1.4 another scene (docs/predict.md)."""
    size: Literal["train", "own"] | Size = "train"
    """What the networks see: as many pixels as in training, the frame's own size, or a (height, width)."""
    scale: float = Field(1.0, gt=0, le=1)
    """The networks see this share of that height and width (0.5: half of each, several times as fast); their logits are
    enlarged. `eval --set scale=...` says what it costs."""
    overlay: float = Field(0.5, ge=0, le=1)
    """Opacity of the colours in the overlay video; 0: no such video."""
    legend: bool = True
    """Names of the classes in the overlay, where it is large enough."""
    codec: Literal["auto", "h264", "vp9", "av1", "mpeg4"] = "auto"
    """Of the overlay; auto: the first of them that OpenCV can write here. Browsers do not play mpeg4, the fastest."""
    fps: float = Field(25.0, gt=0, le=1000)
    """Frames a second of the overlay, where the source does not say."""
    write: tuple[str, ...] = ()
    """What else is written (flag --write), each in NAME/FORMAT: label formats in which labeling tools take the ids, and
    confidence, grey PNGs of the probability of each pixel's class."""
    checkpoint: Literal["best", "last"] = "best"
    runtime: Runtime = Runtime()

    _commas = field_validator("write", mode="before")(split_commas)

    @field_validator("write")
    @classmethod
    def _known(cls, write: tuple[str, ...]) -> tuple[str, ...]:
        tools = label_formats(tuple(name for name in write if name != CONFIDENCE))
        return (*tools, CONFIDENCE) if CONFIDENCE in write else tools

    @property
    def tools(self) -> tuple[str, ...]:
        """The label formats among what else is written."""
        return tuple(name for name in self.write if name != CONFIDENCE)
