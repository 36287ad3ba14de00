"""Confusion matrices: rows are labels (or the first map), columns predictions (or the second); exact int64 sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ifrkit.core.lazy import np
from ifrkit.metrics.base import Ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

Counts: TypeAlias = "NDArray[np.int64]"
IDS = 256
"""Values of a uint8 id."""


def confusion(rows: Ids, columns: Ids, num_classes: int, valid: NDArray[np.bool_] | None = None) -> Counts:
    """(k, k) int64 of two id maps over the valid pixels. A row id of k or more is ignored; columns have none.

    Raises ValueError for a column id of k or more: to ignore a prediction would reward it.
    """
    pairs = rows.astype(np.uint16) * IDS + columns
    counts = np.bincount(pairs.ravel() if valid is None else pairs[valid], minlength=IDS**2).reshape(IDS, IDS)
    if counts[:num_classes, num_classes:].any():
        raise ValueError(f"a prediction holds class ids of {num_classes} or more, there are {num_classes} classes")
    return counts[:num_classes, :num_classes]


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
