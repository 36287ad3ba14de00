"""The config of `ifrkit predict`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ifrkit.config.fields import Size, label_formats, require_possible
from ifrkit.core.bounds import Natural, Positive, Share
from ifrkit.core.config import ByInput, Config, Runtime, settle

CONFIDENCE = "confidence"


class PredictConfig(Config):
    """`ifrkit predict`: class ids of every frame of the user's own videos."""

    COMMAS = ("write",)

    videos: Annotated[tuple[str, ...], Meta(min_length=1), ByInput()]
    """Video files, folders of frames, patterns, a camera's number, rtsp://...; what files hold counts for the id."""
    frames: Natural | None = None
    """At most so many frames of each video: a camera has no end."""
    branch: Literal["update", "reference"] | None = None
    """Which one, of a branches artifact; None: the reference branch if there is one."""
    key_policy: Literal["fixed", "adaptive"] = "fixed"
    """adaptive: a key frame where the warped picture of the last one differs by more than `key_threshold`."""
    key_interval: Natural | None = None
    """Frames from one key frame to the next (adaptive: at most). None: as in training (adaptive: no limit)."""
    key_threshold: Positive = 0.5
    """Difference as a share of the contrast: 0 all is explained, 0.7 to 1.4 another scene (docs/predict.md)."""
    size: Literal["train", "own"] | Size = "train"
    """What the networks see: as many pixels as in training, the frame's own size, or a (height, width)."""
    scale: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """The networks see this share of that height and width (0.5: half of each, several times as fast); their logits are
    enlarged. `eval --set scale=...` says what it costs."""
    overlay: Share = 0.5
    """Opacity of the colours in the overlay video; 0: no such video."""
    legend: bool = True
    """Names of the classes in the overlay, where it is large enough."""
    codec: Literal["auto", "h264", "vp9", "av1", "mpeg4"] = "auto"
    """Of the overlay; auto: the first of them that OpenCV can write here. Browsers do not play mpeg4, the fastest."""
    fps: Annotated[float, Meta(gt=0, le=1000)] = 25.0
    """Frames a second of the overlay, where the source does not say."""
    write: tuple[str, ...] = ()
    """What else is written (flag --write), each in NAME/FORMAT: label formats in which labeling tools take the ids, and
    confidence, grey PNGs of the probability of each pixel's class."""
    checkpoint: Literal["best", "last"] = "best"
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        require_possible("size", self.size)
        tools = label_formats(self.tools)
        settle(self, write=(*tools, CONFIDENCE) if CONFIDENCE in self.write else tools)

    @property
    def tools(self) -> tuple[str, ...]:
        """The label formats among what else is written."""
        return tuple(name for name in self.write if name != CONFIDENCE)
