"""What the metrics of confidence share: the labeled pixels of a clip, with how sure the model was of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.metrics._confusion import Counts

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pixels(NamedTuple):
    """Labeled pixels of a frame, (n,) each: the predicted class, whether it is right, and its probability."""

    ids: base.Ids
    right: NDArray[np.bool_]
    confidence: NDArray[np.float64]


def judged(clip: base.ClipResult, num_classes: int) -> Iterator[Pixels]:
    """The pixels of each frame that has a label, a prediction and a confidence. Raises ValueError for a strange one."""
    for index, label_hw in clip.labels.items():
        if index in clip.predictions and index in clip.confidences:
            known = label_hw < num_classes
            ids, confidence = clip.predictions[index][known], clip.confidences[index][known].astype(np.float64)
            if not (confidence > 0).all() or not (confidence <= 1).all():
                raise ValueError("a confidence is not a probability above 0 and at most 1")
            yield Pixels(ids, ids == label_hw[known], confidence)


def sums(bins: NDArray[np.int64], count: int, values: NDArray[np.bool_] | NDArray[np.float64] | None = None) -> Counts:
    """(count,) int64: how many fall into each bin, or the sum of whole-numbered values there."""
    return np.bincount(bins, values, minlength=count).astype(np.int64)
