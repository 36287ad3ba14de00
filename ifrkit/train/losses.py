"""The loss and the resize that the supervised term and the methods share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ifrkit.data.records import IGNORE
from ifrkit.lazy import F

if TYPE_CHECKING:
    from torch import Tensor

Mean = Literal["all", "valid"]
"""Whether ignored pixels count in the denominator of a mean ("all", the released code) or not ("valid")."""


def cross_entropy(logits_bkhw: Tensor, labels_bhw: Tensor, mean: Mean = "all") -> Tensor:
    """Eq. (1): scalar cross entropy with integer labels, 255 = ignore. A batch without any label gives 0, not NaN."""
    total = F.cross_entropy(logits_bkhw.float(), labels_bhw, ignore_index=IGNORE, reduction="sum")
    if mean == "all":
        return total / labels_bhw.numel()
    return total / (labels_bhw != IGNORE).sum().clamp(min=1)


def upsample(logits_bkhw: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear to (height, width), aligned at the corners of the outer pixels: (b, k, *size) float32."""
    return F.interpolate(logits_bkhw.float(), list(size), mode="bilinear", align_corners=False)
