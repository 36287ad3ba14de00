"""What a dataset is made of: label space, clips, windows.

Letters used in tensor names: b batch, t frames, c channels, k classes, h w size; x runs to the right, y down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

from msgspec import Meta

from ifrkit.core.config import Config

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Frame: TypeAlias = "NDArray[np.uint8]"
"""(h, w, 3) uint8 RGB."""
Label: TypeAlias = "NDArray[np.uint8]"
"""(h, w) uint8 class ids, 255 = ignore."""

IGNORE = 255
"""The one ignore id. It survives resize (nearest), crop, flip and warp."""

Split = Literal["train", "val", "test"]


FrameNames = Annotated[Sequence[str], Meta(min_length=1)]
"""Names of frames in their order, at least one: a tuple, or `Chosen`, which holds few bytes of each."""


class LabelSpace(Config):
    """Class names and display colours; ids are their positions, 255 is ignored."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    """RGB, one for each class."""

    @property
    def num_classes(self) -> int:
        return len(self.names)


class ClipRecord(Config):
    """An ordered run of consecutive frames of one video.

    `frames` are names unique in the whole dataset ("0016E5/0016E5_07959"); clips may share frames, which the store then
    holds once. `labeled` are positions whose label a training run may see; `hidden` are positions whose label exists
    for evaluation only. `annotated` is the position of the clip's one annotated frame (None: a clip without labels).
    """

    FINITE = False  # no fractions here, and a million frames to look through

    name: str
    video: str
    split: Split
    frames: FrameNames
    annotated: int | None = None
    labeled: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()


class Window(NamedTuple):
    """A crop: top-left corner and size, in pixels of the stored frame."""

    y: int
    x: int
    height: int
    width: int


class TrueFlow(NamedTuple):
    """Exact flow of one frame to a neighbour: pixel (x, y) here is found at (x + flow[0], y + flow[1]) there.

    flow_2hw: float32 pixels of this map, x first. visible_hw: bool, False where the neighbour does not show that point
    (occluded or out of frame).
    """

    flow_2hw: NDArray[np.float32]
    visible_hw: NDArray[np.bool_]


class PairFlow(NamedTuple):
    """Forward flow of frame i to i+1: the point at (x, y) in i is at (x + flow[0], y + flow[1]) in i+1.

    flow_2hw: float32 pixels, x first. consistent_hw: bool, forward-backward consistent and inside the frame.
    """

    flow_2hw: NDArray[np.float32]
    consistent_hw: NDArray[np.bool_]
