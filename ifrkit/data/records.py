"""What a dataset is made of: label space, clips, windows.

Letters used in tensor names: b batch, t frames, c channels, k classes, h w size; x runs to the right, y down.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field

from ifrkit.config.base import Config

IGNORE = 255
"""The one ignore id. It survives resize (nearest), crop, flip and warp."""

Split = Literal["train", "val", "test"]


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

    name: str
    video: str
    split: Split
    frames: tuple[str, ...] = Field(min_length=1)
    annotated: int | None = None
    labeled: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()


class Window(NamedTuple):
    """A crop: top-left corner and size, in pixels of the stored frame."""

    y: int
    x: int
    height: int
    width: int
