"""What a method asks of a clip: views, and where each of them lies.

A view is one image of a training sample. Its placement says which frame it shows, which window of it, whether it is
mirrored, and what comes with the image. The usual placements are here; a method that needs another one subclasses
`Placement` in its own file. Nothing here needs torch, so method files import this at their top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from ifrkit.config.training import CropConfig
from ifrkit.core.keyed import Key
from ifrkit.core.records import Frame, Label, Window
from ifrkit.data.pixels.augment import PHOTOMETRIC, Photometric
from ifrkit.data.pixels.jitter import Jitter

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray

Pool = Literal["labeled", "unlabeled"]
"""A sample has one labeled clip, and one of all training clips (the labeled ones too), shown without its label."""


class Frames(NamedTuple):
    """The positions in a clip that views may show, and which of them is annotated (None: no frame is)."""

    shown: Sequence[int]
    annotated: int | None


class Place(NamedTuple):
    """Where an image comes from: position in its clip, top-left corner in the stored frame, whether it is mirrored.

    scale: pixels of the image for each one of the stored frame.
    """

    frame: int
    y: int
    x: int
    mirrored: bool
    scale: float = 1.0


class LabelSource(Protocol):
    """Labels from elsewhere than the dataset, such as an artifact of pseudo labels."""

    def label(self, clip: int, index: int, window: Window | None = None, threshold: float = 0.0) -> Label:
        """(h, w) uint8 of a frame's window, 255 where the confidence is below the threshold."""
        ...

    def scored(self, clip: int, index: int, window: Window | None = None) -> tuple[Label, Label | None]:
        """The same without a threshold, and the confidence in 256 levels; None for a label of the dataset itself."""
        ...

    def statistics(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(k, 256) pixels of each class at each level over frames without a label of their own; (k) labeled pixels."""
        ...

    def chance(self, clip: int, index: int, window: Window | None = None) -> NDArray[np.float32]:
        """(h, w) random numbers in 0..1 for the pixels of a frame: the same whenever they are asked for."""
        ...


@dataclass
class Draw:
    """What the places in one clip are drawn from, and the views placed so far.

    size: of the stored frames. window: the one that the views of a pool share; resized to the crop where sizes differ.
    """

    key: Key
    frames: Frames
    size: tuple[int, int]
    window: Window
    crop: CropConfig
    before: list[View] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)

    def place(self, view: View, frame: int) -> Place:
        """This frame in the common window, mirrored or not: drawn for each view, or for all of a pool."""
        rng = self.key.rng("flip", view.pool if self.crop.shared_flip else view.name)
        return Place(frame, self.window.y, self.window.x, bool(rng.random() < self.crop.flip), self.scale)

    @property
    def scale(self) -> float:
        """Pixels of the crop for each one of the window."""
        return self.crop.size[0] / self.window.height

    def draw(self, views: Sequence[View]) -> dict[str, Place]:
        """The place of each view of a pool, in their order."""
        for view in views:
            self.places[view.name] = view.placement.draw(view, self)
            self.before.append(view)
        return self.places


@dataclass
class Reading:
    """One clip of a sample as far as it is read: what comes with an image is made of this.

    annotation: of the whole annotated frame, where it may be seen. sources: label sources by kind of their artifact.
    images: (h, w, 3) uint8 of the views so far, mirrored as their places say.
    """

    clip: int
    annotation: Label | None
    sources: Mapping[str, LabelSource]
    images: dict[str, Frame] = field(default_factory=dict)


class Placement:
    """Where a view lies. Subclass it as a frozen dataclass: equal placements are the same view."""

    of: str | None = None
    """The view that this one is placed by. It stands earlier."""

    @property
    def enlarges(self) -> bool:
        """Whether it has an own `enlarged`: a generator that nobody asks is not made."""
        return type(self).enlarged is not Placement.enlarged

    def enlarged(self, rng: Generator) -> float | None:
        """By which factor the frames of its pool are enlarged; None: that is left to `crop.scale`."""
        return None

    def fits(self, frames: Frames, before: Sequence[View]) -> bool:
        """Whether a clip has the frames for it. before: the views of the same clip that stand earlier."""
        return True

    def draw(self, view: View, draw: Draw) -> Place:
        """Its place, a function of `draw.key` and of the earlier places alone."""
        raise NotImplementedError

    @property
    def limits_stride(self) -> bool:
        """Whether it has an own `require`: else no network is built only to know its stride."""
        return type(self).require is not Placement.require

    def require(self, stride: int) -> None:
        """Raise ConfigError for a network whose maps (of that stride) it does not suit."""

    def label(self, reading: Reading, frame: int, window: Window) -> Label | None:
        """(h, w) uint8 label of this window, not mirrored; None: the view has no label."""
        return None

    def extra(self, reading: Reading, view: View) -> NDArray[Any] | None:
        """What else comes with the image, as `batch.extras[view.name]`; None: nothing. Its own image is read."""
        return None


@dataclass(frozen=True)
class Annotated(Placement):
    """The annotated frame; in the labeled pool with its label."""

    def fits(self, frames: Frames, before: Sequence[View]) -> bool:
        return frames.annotated is not None

    def draw(self, view: View, draw: Draw) -> Place:
        return draw.place(view, _annotated(draw.frames))

    def label(self, reading: Reading, frame: int, window: Window) -> Label | None:
        label = reading.annotation
        return None if label is None else label[window.y : window.y + window.height, window.x : window.x + window.width]


@dataclass(frozen=True)
class Other(Placement):
    """Any frame but the annotated one."""

    def fits(self, frames: Frames, before: Sequence[View]) -> bool:
        return frames.annotated is not None and len(frames.shown) > 1

    def draw(self, view: View, draw: Draw) -> Place:
        others = [frame for frame in draw.frames.shown if frame != _annotated(draw.frames)]
        return draw.place(view, others[int(draw.key.rng("other", view.name).integers(len(others)))])


@dataclass(frozen=True)
class Random(Placement):
    """Any frame; several such views of a clip show different ones."""

    def fits(self, frames: Frames, before: Sequence[View]) -> bool:
        return len(frames.shown) > _random(before)

    def draw(self, view: View, draw: Draw) -> Place:
        order = draw.key.rng("frames", view.pool).permutation(len(draw.frames.shown))
        return draw.place(view, draw.frames.shown[int(order[_random(draw.before)])])


@dataclass(frozen=True)
class Copy(Placement):
    """A distorted copy of another view, made on the device: same frame, window and flip."""

    of: str
    by: Photometric | Jitter = PHOTOMETRIC

    def draw(self, view: View, draw: Draw) -> Place:
        return draw.places[self.of]


ANNOTATED, OTHER, RANDOM = Annotated(), Other(), Random()


@dataclass(frozen=True)
class View:
    """One image of a training sample: from which clip, and where it lies there."""

    name: str
    pool: Pool = "labeled"
    placement: Placement = ANNOTATED


def fits(views: Sequence[View], frames: Frames) -> bool:
    """Whether a clip has the frames that these views of one pool need."""
    return all(view.placement.fits(frames, views[:i]) for i, view in enumerate(views))


def weighted(*views: tuple[float, View]) -> list[View]:
    """The views whose weight is not 0, so that a term that is switched off reads nothing."""
    return [view for weight, view in views if weight]


def _annotated(frames: Frames) -> int:
    if frames.annotated is None:
        raise ValueError("a clip without an annotated frame")
    return frames.annotated


def _random(views: Sequence[View]) -> int:
    return sum(isinstance(view.placement, Random) for view in views)
