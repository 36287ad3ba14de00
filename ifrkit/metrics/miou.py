"""mIoU over a split, from one confusion matrix, with pixel accuracy and frequency-weighted IoU."""

from __future__ import annotations

from typing import Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.metrics._confusion import confusion, iou, mean_present, plain


class Metric(base.Metric):
    """Official rule: ignored pixels count nowhere; classes with neither support nor prediction do not count."""

    headline = "miou"
    title = "mIoU"

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {"confusion": np.zeros((num_classes, num_classes), np.int64)}

    def update(self, clip: base.ClipResult) -> None:
        for index, label_hw in clip.labels.items():
            if index in clip.predictions:
                self.counts["confusion"] += confusion(label_hw, clip.predictions[index], self.num_classes)

    def compute(self) -> dict[str, Any]:
        matrix = self.counts["confusion"]
        per_class, support, total = iou(matrix), matrix.sum(1), matrix.sum()
        weighted = np.nansum(per_class * support) / total if total else np.nan
        return {
            "miou": mean_present(per_class),
            "pixel_accuracy": plain(np.diag(matrix).sum() / total) if total else None,
            "frequency_weighted_iou": plain(weighted),
            "iou": [plain(v) for v in per_class],
            "confusion": matrix.tolist(),
        }
