"""How close held-out labels are to training: in time, and by how they look.

Neighbouring frames of a video are nearly the same picture. A score on frames that stand beside training frames says how
well a network remembers, not how well it will do on the next video.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from ifrkit.core.lazy import cv2, np
from ifrkit.core.records import ClipRecord, Frame, Split
from ifrkit.media.numbering import last_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR = 2
"""Frames within which a training frame is a neighbour."""
ALIKE = 4.0
"""Grey levels of mean difference, of thumbnails at equal brightness, below which two frames are nearly the same."""
NAMED = 5
_THUMBNAIL = 16
_MOST = 100
"""So many held-out, labeled and unlabeled frames are compared by how they look; every n-th of more."""


class Pair(NamedTuple):
    """A held-out frame and a training frame. distance: frames between them, or grey levels of difference."""

    held_out: str
    training: str
    distance: float


class Leakage(NamedTuple):
    """held_out: labels that are scored. nearest: of those with a training frame in their video, the nearest in time.

    looks: of each held-out frame the training frame that looks most like it, the most alike first. Labeled frames of
    training count, and the middle one of each clip without a label, from which semi-supervised methods learn, too.
    """

    held_out: int
    nearest: tuple[Pair, ...]
    looks: tuple[Pair, ...]

    @property
    def near(self) -> int:
        """Held-out labels within NEAR frames of a training frame."""
        return sum(pair.distance <= NEAR for pair in self.nearest)

    @property
    def alike(self) -> tuple[Pair, ...]:
        """Those that look nearly the same."""
        return tuple(pair for pair in self.looks if pair.distance < ALIKE)

    def of(self, names: Collection[str]) -> Leakage:
        """That of some of the held-out frames: of one split."""
        nearest, looks = (tuple(pair for pair in pairs if pair.held_out in names) for pairs in self[1:])
        return Leakage(len(names), nearest, looks)

    def headline(self) -> str:
        """One line; empty where nothing is held out."""
        if not self.held_out:
            return ""
        line = f"{self.near} of {self.held_out} held-out labels lie within {NEAR} frames of a training frame"
        return line + (f", {len(self.alike)} look nearly like a training frame" if self.alike else "")

    def lines(self) -> list[str]:
        """For `prepare --dry-run`: the headline, and the worst by name."""
        if not self.held_out:
            return []
        found = [f"leakage: {self.headline()}"]
        if self.nearest:
            worst = min(self.nearest, key=lambda pair: pair.distance)
            where = f"{worst.held_out} is {worst.distance:g} frames from {worst.training}"
            away = "; --set options.gap=SECONDS keeps training away in `folders`" if self.near else ""
            found.append(f"leakage: nearest in time: {where}{away}")
        if self.looks and not self.alike:
            pair = self.looks[0]
            found.append(
                f"leakage: most alike: {pair.held_out} and {pair.training}, {pair.distance:g} grey levels apart"
            )
        found += [f"leakage: {pair.held_out} looks like {pair.training}" for pair in self.alike[:NAMED]]
        return found

    def metrics(self) -> dict[str, Any]:
        """For the manifest of the clips."""
        nearest = sorted(self.nearest, key=lambda pair: pair.distance)
        worst = {"nearest": nearest, "looks": self.looks, "alike": self.alike}
        told = {name: [list(pair) for pair in pairs[:NAMED]] for name, pairs in worst.items()}
        return {"held_out": self.held_out, "near": self.near, "headline": self.headline(), **told}


def measure(clips: Sequence[ClipRecord], frame: Callable[[str], Frame] | None) -> Leakage:
    """The leakage of a division into clips. frame: reads the pixels of a frame by its name; asked for once each, in the
    order of the names, so that a video file is decoded once. None: by time alone.
    """
    held = {name: video for split in ("val", "test") for name, video in held_out(clips, split).items()}
    training = [clip for clip in clips if clip.split == "train"]
    labeled = {clip.frames[i] for clip in training for i in clip.labeled}
    plain = {clip.frames[i] for clip in training if not clip.labeled for i in compared(clip)}
    looks = _most_alike(_some(held), _some(labeled) + _some(plain - labeled), frame) if frame else ()
    return Leakage(len(held), tuple(_nearest(clips, held)), tuple(looks))


def compared(clip: ClipRecord) -> tuple[int, ...]:
    """Which frames of a clip `measure` may ask for."""
    return tuple(clip.labeled) or (len(clip.frames) // 2,)


def held_out(clips: Sequence[ClipRecord], split: Split) -> dict[str, str]:
    """The labeled frames of a split, each with its video."""
    return {clip.frames[i]: clip.video for clip in clips if clip.split == split for i in clip.labeled}


def _nearest(clips: Sequence[ClipRecord], held: dict[str, str]) -> Iterator[Pair]:
    """By the numbers of the frames, in steps of the video."""
    steps: dict[str, array[int]] = defaultdict(lambda: array("q"))
    training: dict[str, tuple[array[int], array[int]]] = defaultdict(lambda: (array("q"), array("q")))
    """Of each video the numbers of its training frames, and the clip of each."""
    watched = {*held.values()}
    for place, clip in enumerate(clips):
        if clip.video in watched:
            numbers = _numbers(clip)
            steps[clip.video].extend(abs(b - a) for a, b in pairwise(numbers))
            if clip.split == "train":
                training[clip.video][0].extend(numbers)
                training[clip.video][1].extend([place] * len(numbers))
    in_order: dict[str, tuple[array[int], array[int]]] = {}
    for video, (known, places) in training.items():
        order = sorted(range(len(known)), key=known.__getitem__)
        in_order[video] = array("q", map(known.__getitem__, order)), array("q", map(places.__getitem__, order))
    step = {video: median(found or [1]) or 1 for video, found in steps.items()}
    for name, video in held.items():
        if video in in_order:
            (known, places), number = in_order[video], last_number(name) or 0
            place = bisect_left(known, number)
            near = min(known[max(0, place - 1) : place + 1], key=lambda other: abs(other - number))
            clip = clips[places[bisect_right(known, near) - 1]]
            yield Pair(
                name, dict(zip(_numbers(clip), clip.frames, strict=True))[near], abs(near - number) / step[video]
            )


def _numbers(clip: ClipRecord) -> list[int]:
    """Those in the names of its frames; the place of a frame where there is none."""
    found = map(last_number, clip.frames)
    return [place if number is None else number for place, number in enumerate(found)]


def _some(names: Collection[str]) -> list[str]:
    """At most _MOST of them, spread evenly over their order."""
    return sorted(names)[:: max(1, -(-len(names) // _MOST))]


def _most_alike(held: list[str], training: list[str], frame: Callable[[str], Frame]) -> list[Pair]:
    if not held or not training:
        return []
    small = {name: _thumbnail(frame(name)) for name in sorted({*held, *training})}
    rows = np.stack([small[name] for name in training])
    found = []
    for name in held:
        difference = np.abs(rows - small[name]).mean(1)
        best = int(difference.argmin())
        found.append(Pair(name, training[best], round(float(difference[best]), 2)))
    return sorted(found, key=lambda pair: pair.distance)


def _thumbnail(frame_hw3: Frame) -> NDArray[np.float32]:
    """Grey levels at 16x16, at mean 0."""
    grey = cv2.cvtColor(frame_hw3, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    return np.asarray(small - small.mean(), np.float32)
