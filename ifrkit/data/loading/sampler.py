"""Which clips, windows and frames a training sample holds, as a pure function of its key (places: see views.py).

A key begins with (seed, step, sample), where samples of a step are counted over all ranks and micro-batches; so what a
sample holds depends on neither, nor on which other views are drawn.
"""

from __future__ import annotations

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
