"""How many labeled pixels each class has in each of some clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.records import IGNORE

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore


def class_pixels(store: ClipStore, clips: Sequence[int]) -> NDArray[np.int64]:
    """(n, k) pixels of each class in the visible label of each of these clips; a clip without a label has none."""
    classes = store.labels.num_classes
    counts = np.zeros((len(clips), classes), np.int64)
    for row, clip in zip(counts, clips, strict=True):
        annotated = store.clips[clip].annotated
        if annotated is not None:
            row[:] = np.bincount(store.label(clip, annotated).ravel(), minlength=IGNORE + 1)[:classes]
    return counts
