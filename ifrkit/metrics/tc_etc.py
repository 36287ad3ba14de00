"""TC-ETC: the published arithmetic of temporal consistency (Liu et al., ECCV 2020), artefacts included.

Ids are warped bilinearly and truncated, which invents classes along every boundary; no mask; every class counts, an
absent one as 0. Use it only to stand beside published numbers; TC is the metric to trust.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.metrics._confusion import confusion
from ifrkit.metrics._pairs import pairs, targets

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 32


def warp_truncated(ids_hw: base.Ids, flow_2hw: NDArray[np.float32]) -> base.Ids:
    """Bilinear in the kernel's rounding order, then truncated to uint8.

    Fractions come from the unclamped position; each corner is clamped. Three weights are products in double, that of
    the far corner in float; each product is rounded to float and they are summed in float.
    """
    x, y = targets(flow_2hw)
    # Some rows at a time: whole maps in double leave the cache, and take three times as long.
    blocks = [slice(start, start + ROWS) for start in range(0, len(x), ROWS)]
    return np.concatenate([_read(ids_hw, x[block], y[block]) for block in blocks])


def _read(ids_hw: base.Ids, x: NDArray[np.float32], y: NDArray[np.float32]) -> base.Ids:
    height, width = ids_hw.shape
    x0, y0 = np.floor(x), np.floor(y)
    rows = [np.clip(y0 + d, 0, height - 1).astype(np.int32) * width for d in (0, 1)]
    columns = [np.clip(x0 + d, 0, width - 1).astype(np.int32) for d in (0, 1)]

    def corner(dy: int, dx: int) -> base.Ids:
        ids: base.Ids = ids_hw.take(rows[dy] + columns[dx])
        return ids

    a, b = x - x0, y - y0
    right, lower = a.astype(np.float64), b.astype(np.float64)
    left, upper = 1 - right, 1 - lower
    value = (left * upper * corner(0, 0)).astype(np.float32)
    value += (right * upper * corner(0, 1)).astype(np.float32)
    value += (left * lower * corner(1, 0)).astype(np.float32)
    value += a * b * corner(1, 1)
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
