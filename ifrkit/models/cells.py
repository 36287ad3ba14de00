"""From cells to pixels: the one rule for training, prediction and everything between them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ifrkit.core.lazy import F, torch

if TYPE_CHECKING:
    from torch import Tensor


def enlarged(maps_bchw: Tensor, stride: int, size: Sequence[int], step: int = 1) -> Tensor:
    """Bilinear, from cells of `stride` pixels to a value each `step` pixels, cut to (height, width) such values.

    The last cells may reach over the frame. Squeezed into it, all others would lie too high and too far to the left.
    """
    sides = [-(-side * stride // step) for side in maps_bchw.shape[-2:]]
    if sides == list(maps_bchw.shape[-2:]) == list(size):
        return maps_bchw
    if maps_bchw.is_cpu and torch.is_grad_enabled() and maps_bchw.dtype.itemsize >= 4:  # half precision would round
        large = _product(maps_bchw, sides)
    else:
        large = F.interpolate(maps_bchw, sides, mode="bilinear", align_corners=False)
    return cut(large, size)


def cut(maps_bchw: Tensor, size: Sequence[int]) -> Tensor:
    """The first (height, width) values."""
    if torch.compiler.is_exporting():  # a slice may be the whole, and torch makes another graph of that
        h, w = maps_bchw.shape[-2:]
        return F.pad(maps_bchw, (0, size[1] - w, 0, size[0] - h))
    return maps_bchw[..., : size[0], : size[1]]


def _product(maps_bchw: Tensor, sides: Sequence[int]) -> Tensor:
    """The same as rows @ maps @ columns. With its backward pass that takes a CPU less than half of torch's time."""
    rows, columns = (_weights(now, to, maps_bchw.dtype) for now, to in zip(maps_bchw.shape[-2:], sides, strict=True))
    with torch.autocast("cpu", enabled=False):
        return rows @ (maps_bchw.contiguous() @ columns.T)


@lru_cache(maxsize=64)
def _weights(cells: int, values: int, dtype: torch.dtype) -> Tensor:
    """(values, cells): how much each value takes of each cell."""
    unit = torch.eye(cells, dtype=torch.float64)[None]
    return F.interpolate(unit, values, mode="linear", align_corners=False)[0].T.to(dtype).contiguous()
