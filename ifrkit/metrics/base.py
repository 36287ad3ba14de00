"""What a metric defines: int64 sums, so that shards merge exactly and order never matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from ifrkit.core.lazy import np
from ifrkit.core.records import Frame, PairFlow

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ids: TypeAlias = "NDArray[np.uint8]"
"""(h, w) uint8 class ids; 255 = ignore in labels, never in predictions."""
Confidence: TypeAlias = "NDArray[np.float32]"
"""(h, w) float32: the probability that a model gives to the class that it predicts, above 0 and at most 1."""
NEEDS = frozenset({"labels", "dense-labels", "flows", "frames", "confidences"})
"""What a metric may ask for. Scored frames come alone: no flow joins them, and no other frame stands beside them."""


@dataclass(frozen=True)
class ClipResult:
    """Predictions of one clip, with what is needed to judge them. Keys are positions in the clip.

    flows[i] joins frames i and i+1. Only what the metrics of a run need is filled in.
    """

    name: str
    predictions: Mapping[int, Ids]
    labels: Mapping[int, Ids] = field(default_factory=dict)
    flows: Mapping[int, PairFlow] = field(default_factory=dict)
    confidences: Mapping[int, Confidence] = field(default_factory=dict)
    frames: Mapping[int, Frame] = field(default_factory=dict)


class Metric:
    """One metric over a split. Subclass it as `Metric` in `ifrkit/metrics/NAME.py`.

    protocol "scored": predictions of the scored frames (annotated, at the fixed key distance); "stream": predictions of
    every frame of the clip in order, a new key frame each interval. needs: some of NEEDS; a scored metric needs labels.
    headline: the key of `compute()` that stands in tables: from 0 to 1, larger is better unless `smaller_is_better`.
    """

    protocol: ClassVar[Literal["scored", "stream"]] = "scored"
    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    headline: ClassVar[str] = ""
    title: ClassVar[str] = ""
    """How tables call it: "mIoU"."""
    smaller_is_better: ClassVar[bool] = False
    """Whether 0 is the best value: of errors."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.counts: dict[str, NDArray[np.int64]] = {}

    def update(self, clip: ClipResult) -> None:
        """Add one clip."""
        raise NotImplementedError

    def merge(self, counts: Mapping[str, NDArray[np.int64]]) -> None:
        """Add the sums of another shard."""
        for key, value in counts.items():
            self.counts[key] = self.counts[key] + value

    def compute(self) -> dict[str, Any]:
        """Plain numbers (fractions, not percent), lists per class; None where nothing was counted."""
        raise NotImplementedError
