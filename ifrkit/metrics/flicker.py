"""Flicker rate: share of the pixels that change their class although the picture says that nothing changed.

A pixel is judged where the flow to the next frame is consistent (its point is seen there), and where the pixel that it
leads to has its colour: the warp explains the picture. Then a new class is the model's doing. It needs no label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.core.records import Frame, PairFlow
from ifrkit.metrics._confidences import sums
from ifrkit.metrics._confusion import plain
from ifrkit.metrics._pairs import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXPLAINED = 0.118 * 255
"""Largest distance of two RGB colours: where the weight exp(-50 d^2) of Lai et al. (ECCV 2018) is one half."""


class Metric(base.Metric):
    """Over all pairs of neighbouring frames; `per_class` of the pixels of each class in the first frame of a pair."""

    protocol = "stream"
    needs = frozenset({"flows", "frames"})
    headline = "flicker"
    title = "Flicker"
    smaller_is_better = True

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {key: np.zeros(num_classes, np.int64) for key in ("changed", "judged")}
        self.counts["pixels"] = np.zeros(1, np.int64)

    def update(self, clip: base.ClipResult) -> None:
        for index, flow in clip.flows.items():
            if {index, index + 1} <= clip.predictions.keys() & clip.frames.keys():
                first, second = clip.predictions[index], clip.predictions[index + 1]
                shown = explained(clip.frames[index], clip.frames[index + 1], flow)
                ids = first[shown].astype(np.int64)
                changed = ids != second.take(nearest(flow.flow_2hw))[shown]
                self.counts["judged"] += sums(ids, self.num_classes)
                self.counts["changed"] += sums(ids, self.num_classes, changed)
                self.counts["pixels"] += first.size

    def compute(self) -> dict[str, Any]:
        changed, judged, pixels = self.counts["changed"], self.counts["judged"], int(self.counts["pixels"][0])
        per_class = np.divide(changed, judged, out=np.full(len(judged), np.nan), where=judged > 0)
        total = int(judged.sum())
        return {
            "flicker": int(changed.sum()) / total if total else None,
            "judged_share": total / pixels if pixels else None,
            "per_class": [plain(v) for v in per_class],
        }


def explained(first: Frame, second: Frame, flow: PairFlow) -> NDArray[np.bool_]:
    """(h, w) bool: the flow is consistent, and leads from a pixel of the first frame to the same colour."""
    carried = second.reshape(-1, 3)[nearest(flow.flow_2hw)]
    squared = np.square(first.astype(np.int32) - carried.astype(np.int32)).sum(2)
    alike: NDArray[np.bool_] = flow.consistent_hw & (squared <= EXPLAINED**2)
    return alike
