"""Which frames, crops and flips make a training sample: pure functions of (seed, step, sample) (spec 3.3, 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifrkit.config.stages import CropConfig
from ifrkit.data.batch import View
from ifrkit.data.keyed import key_rng
from ifrkit.data.records import IGNORE, ClipRecord, Window


class Draw(NamedTuple):
    """One view of one sample: where its frame is, its crop, and whether it is flipped."""

    clip: int
    index: int
    window: Window
    flip: bool


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return key_rng(seed, "epoch", epoch).permutation(count)


def labeled_clip(clips: Sequence[int], seed: int, sample: int) -> int:
    """The labeled clip of the sample-th draw since step 0: every clip once an epoch, each epoch in another order."""
    epoch, place = divmod(sample, len(clips))
    return clips[int(_epoch_order(seed, epoch, len(clips))[place])]


def unlabeled_clip(clips: Sequence[int], seed: int, sample: int) -> int:
    """Uniform with replacement over all training clips."""
    return clips[int(key_rng(seed, "unlabeled", sample).integers(len(clips)))]


def draw_frames(views: Sequence[View], clip: ClipRecord, rng: np.random.Generator) -> dict[str, int]:
    """Positions of one pool's views in a clip: the annotated frame, another one, or distinct random ones."""
    count, annotated = len(clip.frames), clip.annotated if clip.annotated is not None else len(clip.frames) - 1
    others = [i for i in range(count) if i != annotated] or [annotated]
    distinct = rng.permutation(count)
    chosen: dict[str, int] = {}
    turn = 0
    for view in views:
        if view.frame == "annotated":
            chosen[view.name] = annotated
        elif view.frame == "other":
            chosen[view.name] = others[int(rng.integers(len(others)))]
        else:  # a clip shorter than the number of views repeats its frames
            chosen[view.name], turn = int(distinct[turn % count]), turn + 1
    return chosen


def random_window(size: tuple[int, int], crop: tuple[int, int], rng: np.random.Generator) -> Window:
    """Uniform over all places, the last one included."""
    (height, width), (h, w) = size, crop
    return Window(int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w)


def labeled_window(
    size: tuple[int, int], crop: CropConfig, rng: np.random.Generator, label_of: Callable[[Window], NDArray[np.uint8]]
) -> Window:
    """Draw again, at most `tries` times, while the crop shows one class only or one class fills too much of it."""
    for _ in range(crop.tries):
        window = random_window(size, crop.size, rng)
        counts = np.bincount(label_of(window).ravel(), minlength=IGNORE + 1)[:IGNORE]
        if np.count_nonzero(counts) > 1 and counts.max() < crop.max_class_share * counts.sum():
            break
    return window


def draw_flips(names: Sequence[str], crop: CropConfig, rng: np.random.Generator) -> dict[str, bool]:
    """One flip a frame (released code), or one for all frames of the clip."""
    flips = rng.random(len(names)) < crop.flip
    return {name: bool(flips[0 if crop.shared_flip else i]) for i, name in enumerate(names)}
