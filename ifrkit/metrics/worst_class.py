"""Worst-class IoU: the IoU of the class that goes worst, of those that the labels hold."""

from __future__ import annotations

from typing import Any

from ifrkit.core.lazy import np
from ifrkit.metrics import miou
from ifrkit.metrics._confusion import iou


class Metric(miou.Metric):
    """The smallest IoU of a class with labeled pixels, from the confusion matrix of mIoU. `class` is its id."""

    headline = "worst_class_iou"
    title = "Worst class"

    def compute(self) -> dict[str, Any]:
        matrix = self.counts["confusion"]
        per_class = np.where(matrix.sum(1) > 0, iou(matrix), np.inf)
        worst = int(per_class.argmin())
        if np.isinf(per_class[worst]):
            return {"worst_class_iou": None, "class": None}
        return {"worst_class_iou": float(per_class[worst]), "class": worst}
