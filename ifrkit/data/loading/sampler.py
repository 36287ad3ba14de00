"""Every random draw of a training sample, as a pure function of its key.

A key begins with (seed, step, sample), where samples of a step are counted over all ranks and micro-batches; so what a
sample holds depends on neither, nor on which other views are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ifrkit.config.training import CropConfig
from ifrkit.core.keyed import key_rng
from ifrkit.core.records import IGNORE, ClipRecord, Label, Window
from ifrkit.data.loading.batch import View


class Key(NamedTuple):
    """Which sample: its run's seed, the step, and its number in the step."""

    seed: int
    step: int
    sample: int

    def rng(self, *what: int | str) -> np.random.Generator:
        """The generator of one thing that is drawn for this sample."""
        return key_rng(self.seed, self.step, self.sample, *what)


def labeled_clip(pool: Sequence[int], key: Key, batch: int) -> int:
    """A clip of the pool; every `len(pool)` samples each comes once, in a new order. batch: samples a step."""
    epoch, place = divmod(key.step * batch + key.sample, len(pool))
    return pool[int(_permutation(len(pool), key.seed, epoch)[place])]


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return key_rng(seed, "epoch", epoch).permutation(count)


def unlabeled_clip(pool: Sequence[int], key: Key) -> int:
    """A clip of the pool, uniform with replacement."""
    return pool[int(key.rng("unlabeled").integers(len(pool)))]


def frames_of(views: Sequence[View], record: ClipRecord, key: Key) -> dict[str, int]:
    """Position in the clip of each view of one pool; views that are distorted copies are left out."""
    count, annotated = len(record.frames), record.annotated
    pool = views[0].pool
    shuffled = iter(key.rng("frames", pool).permutation(count).tolist())
    in_order = sum(view.frame == "sorted" and view.distort_of is None for view in views)
    ordered = iter(sorted(key.rng("sorted", pool).permutation(count)[:in_order].tolist()))
    positions: dict[str, int] = {}
    for view in views:
        if view.distort_of is not None:
            continue
        if view.overlap_of is not None:
            positions[view.name] = positions[view.overlap_of]
            continue
        if view.neighbour_of is not None:
            positions[view.name] = abs(positions[view.neighbour_of] - 1)  # 1 for the first frame
            continue
        if view.frame == "sorted":
            positions[view.name] = next(ordered)
            continue
        if view.frame == "random":
            positions[view.name] = next(shuffled)
            continue
        if annotated is None:
            raise ValueError(f"clip {record.name} has no annotated frame for view {view.name}")
        other = int(key.rng("other", view.name).integers(count - 1)) if view.frame == "other" else annotated
        positions[view.name] = other + (view.frame == "other" and other >= annotated)
    return positions


def fits(views: Sequence[View], record: ClipRecord) -> bool:
    """Whether a clip has the frames that these views of one pool need."""
    own = [view.frame for view in views if not (view.distort_of or view.overlap_of or view.neighbour_of)]
    drawn = own.count("random"), own.count("sorted")
    annotated = record.annotated is not None or sum(drawn) == len(own)
    several = "other" in own or any(view.neighbour_of for view in views)
    return annotated and len(record.frames) >= max(*drawn, 1 + several)


def crop_window(size: tuple[int, int], crop: CropConfig, key: Key, pool: str, label: Label | None = None) -> Window:
    """One window for all frames of a pool, any offset with equal probability.

    label: of the whole annotated frame. The window is drawn again, at most `crop.tries` times, until more than one
    class is in it and none has `max_class_share` of its labeled pixels or more.
    """
    (height, width), (crop_height, crop_width) = size, crop.size
    rng = key.rng("crop", pool)
    draws = 1 if label is None or crop.max_class_share >= 1 else crop.tries + 1
    for draw in range(draws):
        y, x = int(rng.integers(height - crop_height + 1)), int(rng.integers(width - crop_width + 1))
        last = draw == draws - 1
        if last or label is None or _mixed(label[y : y + crop_height, x : x + crop_width], crop.max_class_share):
            break
    return Window(y, x, crop_height, crop_width)


def overlapping(size: tuple[int, int], window: Window, key: Key, view: str) -> Window:
    """Another window of the same size, moved by multiples of 8 pixels; both share at least a tenth of their union.

    After 50 draws without success it is the same window.
    """
    rng = key.rng("overlap", view)
    offsets = [(-(start // 8), (whole - part - start) // 8) for whole, part, start in _spans(size, window)]
    for _ in range(50):
        dy, dx = (8 * int(rng.integers(low, high + 1)) for low, high in offsets)
        shared = max(0, window.height - abs(dy)) * max(0, window.width - abs(dx))
        if shared >= 0.1 * (2 * window.height * window.width - shared):
            return Window(window.y + dy, window.x + dx, window.height, window.width)
    return window


def _spans(size: tuple[int, int], window: Window) -> tuple[tuple[int, int, int], ...]:
    return (size[0], window.height, window.y), (size[1], window.width, window.x)


def _mixed(label: Label, max_class_share: float) -> bool:
    counts = cv2.calcHist([label], [0], None, [IGNORE], [0, IGNORE])  # 255 is outside: ignored pixels do not count
    return bool(np.count_nonzero(counts) > 1 and counts.max() < max_class_share * counts.sum())


def clip_window(size: tuple[int, int], crop: tuple[int, int], key: Key) -> Window:
    """One window for a run of frames of stage two. The last offset is never drawn, as in the released code."""
    rng = key.rng("crop", "clip")
    y, x = (int(rng.integers(max(1, whole - part))) for whole, part in zip(size, crop, strict=True))
    return Window(y, x, *crop)


def distance(key: Key, largest: int) -> int:
    """Uniform over 0..largest, one for all samples of a step."""
    return int(key_rng(key.seed, key.step, "distance").integers(largest + 1))


def earlier(last: int, count: int, reach: int, key: Key) -> list[int]:
    """`count` distinct positions of the `reach` before `last`, in order; of too few the first is repeated."""
    first = max(0, last - reach)
    drawn = sorted(first + int(i) for i in key.rng("earlier").permutation(last - first)[:count])
    return [drawn[0] if drawn else last] * (count - len(drawn)) + drawn


def target(count: int, distance: int, key: Key) -> int:
    """A position in a clip of `count` frames, with `distance` others before it if the clip is that long."""
    return int(key.rng("target").integers(min(distance, count - 1), count))


def pair(count: int, max_distance: int, key: Key) -> tuple[int, int]:
    """Two positions in a clip of `count` frames, uniform 1..max_distance apart, in either order."""
    rng = key.rng("pair")
    apart = int(rng.integers(1, min(max_distance, count - 1) + 1))
    first = int(rng.integers(count - apart))
    return (first, first + apart) if rng.random() < 0.5 else (first + apart, first)


def flip(crop: CropConfig, key: Key, view: View) -> bool:
    """Whether a view is mirrored: drawn for each view, or for all of a pool."""
    source = view.flip_of or view.neighbour_of or view.name
    return bool(key.rng("flip", view.pool if crop.shared_flip else source).random() < crop.flip)
