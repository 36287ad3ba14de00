"""Boundary IoU (Cheng et al., CVPR 2021): IoU of the bands inside the contours, of each class over the whole split.

A band is as wide as 2 % of the picture's diagonal. Large and small objects count by their outline, so that what mIoU
hides in the inside of large ones is seen. The edge of the picture is a contour too, as in the published code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.core.records import IGNORE
from ifrkit.metrics._bands import band, edges
from ifrkit.metrics._confusion import confusion, mean_present, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATIO = 0.02
"""Width of the band as a share of the diagonal."""


def width_of(size: tuple[int, int]) -> int:
    """Width in pixels of the bands of maps of this (height, width), at least 1."""
    return max(1, round(RATIO * float(np.hypot(*size))))


class Metric(base.Metric):
    """Mean over the classes that occur. Ignored pixels count nowhere, and a border to them is not a contour."""

    headline = "boundary_iou"
    title = "Boundary IoU"

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {key: np.zeros(num_classes, np.int64) for key in ("both", "label", "prediction")}

    def update(self, clip: base.ClipResult) -> None:
        for index, label_hw in clip.labels.items():
            if index in clip.predictions:
                self._add(label_hw, clip.predictions[index])

    def _add(self, label_hw: base.Ids, ids_hw: base.Ids) -> None:
        known = label_hw < self.num_classes
        maps = [np.where(known, seen, IGNORE).astype(np.uint8) for seen in (label_hw, ids_hw)]
        size = (label_hw.shape[0], label_hw.shape[1])
        outside = edges(size, width_of(size))
        inside = [(band(seen, width_of(size)) | outside) & known for seen in maps]
        self.counts["both"] += np.diag(confusion(label_hw, ids_hw, self.num_classes, inside[0] & inside[1]))
        self.counts["label"] += confusion(label_hw, ids_hw, self.num_classes, inside[0]).sum(1)
        self.counts["prediction"] += confusion(label_hw, ids_hw, self.num_classes, inside[1]).sum(0)

    def compute(self) -> dict[str, Any]:
        both = self.counts["both"]
        union = self.counts["label"] + self.counts["prediction"] - both
        per_class: NDArray[np.float64] = np.divide(both, union, out=np.full(len(both), np.nan), where=union > 0)
        return {"boundary_iou": mean_present(per_class), "iou": [plain(v) for v in per_class]}
