"""Fine-grained mIoU (Wang et al., NeurIPS 2023): each picture by itself, then the mean over pictures.

Of one picture, the classes that its label holds; mIoU^I is the mean over pictures of their means over classes, mIoU^C
the mean over classes of their means over pictures. Large objects and long videos do not drown what is small.
"""

from __future__ import annotations

from typing import Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.metrics._confusion import confusion, iou, mean_present, plain

SCALE = 1 << 40
"""Values are summed in 2^-40 steps, so that shards add up exactly in any order."""


class Metric(base.Metric):
    """mIoU^I in tables; the report has mIoU^C as `class_miou`, and of each class its mean over pictures."""

    headline = "image_miou"
    title = "Image mIoU"

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {
            "sum": np.zeros(1, np.int64),
            "images": np.zeros(1, np.int64),
            "class_sum": np.zeros(num_classes, np.int64),
            "class_images": np.zeros(num_classes, np.int64),
        }

    def update(self, clip: base.ClipResult) -> None:
        for index, label_hw in clip.labels.items():
            if index in clip.predictions:
                matrix = confusion(label_hw, clip.predictions[index], self.num_classes)
                there = matrix.sum(1) > 0
                if there.any():
                    per_class = iou(matrix)[there]
                    self.counts["sum"] += round(float(per_class.mean()) * SCALE)
                    self.counts["images"] += 1
                    self.counts["class_sum"][there] += np.rint(per_class * SCALE).astype(np.int64)
                    self.counts["class_images"][there] += 1

    def compute(self) -> dict[str, Any]:
        images, of_class = int(self.counts["images"][0]), self.counts["class_images"]
        per_class = np.full(self.num_classes, np.nan)
        seen = of_class > 0
        per_class[seen] = self.counts["class_sum"][seen] / SCALE / of_class[seen]
        return {
            "image_miou": int(self.counts["sum"][0]) / SCALE / images if images else None,
            "class_miou": mean_present(per_class),
            "iou": [plain(v) for v in per_class],
            "images": images,
        }
