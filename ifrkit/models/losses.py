"""What the supervised term and the methods share: the loss, the resize, the ramp of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ifrkit.core.lazy import F
from ifrkit.core.precision import at_least_float32
from ifrkit.core.records import IGNORE
from ifrkit.models.cells import enlarged

if TYPE_CHECKING:
    from torch import Tensor

Mean = Literal["all", "valid"]
"""Whether ignored pixels count in the denominator of a mean ("all", the released code) or not ("valid")."""


def cross_entropy(
    logits_bkhw: Tensor, labels_bhw: Tensor, mean: Mean = "all", weight_k: Tensor | None = None
) -> Tensor:
    """Eq. (1): scalar cross entropy with integer labels, 255 = ignore. A batch without any label gives 0, not NaN.

    weight_k: of each class; the denominator stays the number of pixels.
    """
    logits_bkhw = at_least_float32(logits_bkhw)
    weight_k = None if weight_k is None else weight_k.to(logits_bkhw.dtype)
    total = F.cross_entropy(logits_bkhw, labels_bhw, weight_k, ignore_index=IGNORE, reduction="sum")
    if mean == "all":
        return total / labels_bhw.numel()
    return total / (labels_bhw != IGNORE).sum().clamp(min=1)


def upsample(logits_bkhw: Tensor, stride: int, size: Sequence[int], step: int = 1) -> Tensor:
    """Logits of cells of `stride` pixels as (b, k, *size), a value each `step` pixels, at least float32."""
    return enlarged(at_least_float32(logits_bkhw), stride, size, step)


def ramp_up(step: int, length: int) -> float:
    """exp(-5 (1 - t)^2) with t from 0 at step 0 to 1 at `length`; 1 from then on, and always for length 0."""
    left = 1 - min(step, length) / length if length else 0.0
    return math.exp(-5 * left**2)
