"""TC, temporal consistency: IoU of each frame's prediction with the next one's, warped back by optical flow.

Nearest sampling (a mean of ids means nothing), only pixels whose flow is forward-backward consistent, one tally
over the whole split, mean over the classes that occur.
"""

from __future__ import annotations

from typing import Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.metrics._confusion import confusion, iou, mean_present, plain
from ifrkit.metrics._pairs import pairs, warp_nearest


class Metric(base.Metric):
    """TC of the whole split."""

    protocol = "stream"
    needs = frozenset({"flows"})
    headline = "tc"
    title = "TC"

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {"confusion": np.zeros((num_classes, num_classes), np.int64), "pixels": np.zeros(1, np.int64)}

    def update(self, clip: base.ClipResult) -> None:
        for first, second, flow in pairs(clip):
            warped = warp_nearest(second, flow.flow_2hw)
            self.counts["confusion"] += confusion(first, warped, self.num_classes, flow.consistent_hw)
            self.counts["pixels"] += first.size

    def compute(self) -> dict[str, Any]:
        matrix, pixels = self.counts["confusion"], int(self.counts["pixels"][0])
        per_class, judged = iou(matrix), int(matrix.sum())
        return {
            "tc": mean_present(per_class),
            "agreement": plain(np.diag(matrix).sum() / judged) if judged else None,
            "judged_share": judged / pixels if pixels else None,
            "iou": [plain(v) for v in per_class],
        }
