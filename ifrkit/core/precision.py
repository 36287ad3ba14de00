"""The least precision of losses and probabilities: float32, and float64 where that comes in.

Half precision is lifted, so that autocast does not round a sum. Double precision stays: two processors add float32
numbers in other orders and so get other digits, but in float64 they agree to about 1e-12, and tests compare there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.core.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """x itself if it is float32 or float64, else as float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
