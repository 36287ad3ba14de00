"""Two crops of one frame, seen from their maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ifrkit.core.errors import ConfigError

if TYPE_CHECKING:
    from ifrkit.data.loading.batch import Place


def overlap(
    first: Place, second: Place, size: Sequence[int], stride: int = 8
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of the shared part on both maps (h, w) at 1/stride, mirrored maps turned back.

    Raises ConfigError for maps that the views, multiples of 8 pixels apart, do not share the pixels of.
    """
    if 8 % stride:
        fault = f"overlapping views lie a multiple of 8 pixels apart, the maps of this network {stride}"
        raise ConfigError(fault, "use a stride of 8 (update.stride, reference.stride)")
    parts = []
    for dim, (a, b) in enumerate(((first.y, second.y), (first.x, second.x))):
        shift = (b - a) // stride
        length = size[dim] - abs(shift)
        parts.append((slice(max(shift, 0), max(shift, 0) + length), slice(max(-shift, 0), max(-shift, 0) + length)))
    (rows_1, rows_2), (columns_1, columns_2) = parts
    return (rows_1, columns_1), (rows_2, columns_2)
