"""Confusion matrices: rows are labels (or the first map), columns predictions (or the second); exact int64 sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def confusion(
    rows: NDArray[Any], columns: NDArray[Any], num_classes: int, valid: NDArray[np.bool_] | None = None
) -> Counts:
    """(k, k) int64 of two id maps over the valid pixels whose ids are below k in both."""
    rows, columns = rows.astype(np.int64).ravel(), columns.astype(np.int64).ravel()
    keep = (rows < num_classes) & (columns < num_classes)
    if valid is not None:
        keep &= valid.ravel()
    return np.bincount(rows[keep] * num_classes + columns[keep], minlength=num_classes**2).reshape(num_classes, -1)


def iou(matrix: Counts) -> NDArray[np.float64]:
    """Intersection over union of each class; NaN where neither map has it."""
    inter = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - inter
    result: NDArray[np.float64] = np.divide(inter, union, out=np.full(len(matrix), np.nan), where=union > 0)
    return result


def plain(value: float | np.floating[Any]) -> float | None:
    """A JSON number; None instead of NaN."""
    return None if np.isnan(value) else float(value)


def mean_present(values: NDArray[np.float64]) -> float | None:
    """Mean over the classes that occur; None when none does."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None
