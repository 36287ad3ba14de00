"""Trimap IoU: mIoU of the pixels near a contour of the label alone (Kohli et al., IJCV 2009; Chen et al., TPAMI 2018).

Its width is in pixels, so compare it between predictions of one size.
"""

from __future__ import annotations

from typing import Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.core.records import IGNORE
from ifrkit.metrics._bands import band
from ifrkit.metrics._confusion import confusion, iou, mean_present, plain

WIDTHS = (1, 2, 4, 8, 16)
"""Pixels to either side of a contour."""
HEADLINE = 4


class Metric(base.Metric):
    """Of the pixels within 4 pixels of another class in the label; the report has other widths, too."""

    headline = "trimap_iou"
    title = "Trimap IoU"

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {"confusion": np.zeros((len(WIDTHS), num_classes, num_classes), np.int64)}

    def update(self, clip: base.ClipResult) -> None:
        for index, label_hw in clip.labels.items():
            if index in clip.predictions:
                known_hw = np.where(label_hw < self.num_classes, label_hw, IGNORE).astype(np.uint8)
                for row, width in enumerate(WIDTHS):
                    near = band(known_hw, width)
                    self.counts["confusion"][row] += confusion(
                        label_hw, clip.predictions[index], self.num_classes, near
                    )

    def compute(self) -> dict[str, Any]:
        matrices = dict(zip(WIDTHS, self.counts["confusion"], strict=True))
        values = {width: mean_present(iou(matrix)) for width, matrix in matrices.items()}
        return {
            "trimap_iou": values[HEADLINE],
            "iou": [plain(v) for v in iou(matrices[HEADLINE])],
            "by_width": {str(width): value for width, value in values.items()},
        }
