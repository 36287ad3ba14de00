"""TC-ETC: the published arithmetic of temporal consistency (Liu et al., ECCV 2020), artefacts included.

Ids are warped bilinearly and truncated, which invents classes along every boundary; no mask; every class counts, an
absent one as 0. Use it only to stand beside published numbers; TC is the metric to trust.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import ifrkit.metrics.base as base
from ifrkit.metrics._confusion import confusion
from ifrkit.metrics._pairs import pairs, targets


def warp_truncated(ids_hw: base.Ids, flow_2hw: NDArray[np.float32]) -> base.Ids:
    """Bilinear in the kernel's rounding order, then truncated to uint8.

    Fractions come from the unclamped position; each corner is clamped. Three weights are products in double, that of
    the far corner in float; each product is rounded to float and they are summed in float.
    """
    height, width = ids_hw.shape
    ids = ids_hw.astype(np.float32)
    x, y = targets(flow_2hw)
    a, b = x - np.floor(x), y - np.floor(y)

    def corner(dy: int, dx: int) -> NDArray[np.float32]:
        rows = np.clip(np.floor(y) + dy, 0, height - 1).astype(np.intp)
        columns = np.clip(np.floor(x) + dx, 0, width - 1).astype(np.intp)
        values: NDArray[np.float32] = ids[rows, columns]
        return values

    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    value = ((1 - wide_a) * (1 - wide_b) * corner(0, 0)).astype(np.float32)
    value += (wide_a * (1 - wide_b) * corner(0, 1)).astype(np.float32)
    value += ((1 - wide_a) * wide_b * corner(1, 0)).astype(np.float32)
    value += (a * b) * corner(1, 1)
    return value.astype(np.uint8)


class Metric(base.Metric):
    """Mean over all classes of sum(intersection) / (sum(union) + 1e-10)."""

    protocol = "stream"
    needs = frozenset({"flows"})
    headline = "tc_etc"
    title = "TC-ETC"

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {"confusion": np.zeros((num_classes, num_classes), np.int64)}

    def update(self, clip: base.ClipResult) -> None:
        for first, second, flow in pairs(clip):
            self.counts["confusion"] += confusion(first, warp_truncated(second, flow.flow_2hw), self.num_classes)

    def compute(self) -> dict[str, Any]:
        matrix = self.counts["confusion"]
        inter = np.diag(matrix)
        per_class = inter / (matrix.sum(0) + matrix.sum(1) - inter + 1e-10)
        return {"tc_etc": float(per_class.mean()) if matrix.sum() else None, "iou": per_class.tolist()}
