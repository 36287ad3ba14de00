"""Which clips, windows and frames a training sample holds, as a pure function of its key (places: see views.py).

A key begins with (seed, step, sample), where samples of a step are counted over all ranks and micro-batches; so what a
sample holds depends on neither, nor on which other views are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ifrkit.config.training import CropConfig
from ifrkit.core.keyed import Key, key_rng
from ifrkit.core.records import IGNORE, Label, Window


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


def rare_class(pixels_ck: NDArray[np.int64], share: float, key: Key) -> int | None:
    """The class that a labeled crop shall show, by 1 / sqrt(frequency); None: any. share: how often there is one.

    pixels_ck: labeled pixels of each clip and class.
    """
    rng = key.rng("rare")
    totals = pixels_ck.sum(0)
    if rng.random() >= share or not totals.any():
        return None
    odds = np.where(totals > 0, np.maximum(totals, 1) ** -0.5, 0.0)
    return int(rng.choice(len(odds), p=odds / odds.sum()))


def clip_with(pool: Sequence[int], pixels_ck: NDArray[np.int64], wanted: int, key: Key) -> int:
    """One of the clips whose label shows a class."""
    rows = np.flatnonzero(pixels_ck[:, wanted])
    return pool[int(rows[key.rng("clip of a class").integers(len(rows))])]


def crop_window(
    size: tuple[int, int],
    crop: CropConfig,
    key: Key,
    pool: str,
    label: Label | None = None,
    wanted: int | None = None,
    factor: float | None = None,
) -> Window:
    """One window for all frames of a pool, any offset with equal probability.

    label: of the whole annotated frame. The window is drawn again, at most `crop.tries` times, until more than one
    class is in it and none has `max_class_share` of its labeled pixels or more. With a wanted class it lies around a
    random pixel of that class instead. Its size is the crop's over a factor: this one, or else one from `crop.scale`.
    """
    rng = key.rng("crop", pool)
    window_height, window_width = _extent(size, crop, _factor(crop, rng) if factor is None else factor)
    spans = (size[0] - window_height, size[1] - window_width)
    if wanted is not None and label is not None:
        found = np.flatnonzero(label == wanted)
        at = divmod(int(found[rng.integers(len(found))]), size[1])
        y, x = (
            int(rng.integers(max(0, place - part + 1), min(span, place) + 1))
            for place, part, span in zip(at, (window_height, window_width), spans, strict=True)
        )
        return Window(y, x, window_height, window_width)
    draws = 1 if label is None or crop.max_class_share >= 1 else crop.tries + 1
    for draw in range(draws):
        y, x = (int(rng.integers(span + 1)) for span in spans)
        last = draw == draws - 1
        if last or label is None or _mixed(label[y : y + window_height, x : x + window_width], crop.max_class_share):
            break
    return Window(y, x, window_height, window_width)


def _factor(crop: CropConfig, rng: np.random.Generator) -> float:
    low, high = crop.scale
    return 1.0 if low == high == 1 else math.exp(rng.uniform(math.log(low), math.log(high)))


def _extent(size: tuple[int, int], crop: CropConfig, factor: float) -> tuple[int, int]:
    """(height, width) of the part of a frame that becomes a crop: never more than the frame."""
    if factor == 1:
        return crop.size
    factor = max(factor, *(part / whole for part, whole in zip(crop.size, size, strict=True)))
    height, width = (min(whole, round(part / factor)) for part, whole in zip(crop.size, size, strict=True))
    return max(1, height), max(1, width)


def _mixed(label: Label, max_class_share: float) -> bool:
    counts = cv2.calcHist([label], [0], None, [IGNORE], [0, IGNORE])  # the last bin, 254, is not the ignored one
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
