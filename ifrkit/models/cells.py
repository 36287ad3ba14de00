"""From cells to pixels: the one rule for training, prediction and everything between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ifrkit.core.lazy import F

if TYPE_CHECKING:
    from torch import Tensor


def enlarged(maps_bchw: Tensor, stride: int, size: Sequence[int], step: int = 1) -> Tensor:
    """Bilinear, from cells of `stride` pixels to a value each `step` pixels, cut to (height, width) such values.

    The last cells may reach over the frame. Squeezed into it, all others would lie too high and too far to the left.
    """
    sides = [-(-side * stride // step) for side in maps_bchw.shape[-2:]]
    if sides == list(maps_bchw.shape[-2:]) == list(size):
        return maps_bchw
    large = F.interpolate(maps_bchw, sides, mode="bilinear", align_corners=False)
    return large[..., : size[0], : size[1]]
