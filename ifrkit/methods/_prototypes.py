"""What ifr and tdc share: the mean feature of each class that a map shows (p = h * w: its pixels)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ifrkit.core.lazy import torch
from ifrkit.core.precision import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor


def class_prototypes(
    features_bchw: Tensor,
    labels_bhw: Tensor,
    num_classes: int,
    pool: Literal["batch", "clip"] = "batch",
    group: int = 2,
) -> tuple[Tensor, Tensor]:
    """Class means of a feature map, Eq. (4).

    labels: int64 at the size of the map; an id outside 0..k-1, such as 255, counts for no class.
    pool: "clip" averages over the pixels of one image; "batch" (released code) over all images of a group of `group`
    neighbours, while each image still lists only the classes that it shows itself.
    Returns prototypes (b, k, c) and present (b, k) bool; the prototype of an absent class has no meaning.
    """
    classes = torch.arange(num_classes, device=features_bchw.device)
    member_bkp = (labels_bhw[:, None] == classes[:, None, None]).flatten(2)
    present_bk = member_bkp.any(2)
    with torch.autocast(features_bchw.device.type, enabled=False):
        values_bchw = at_least_float32(features_bchw)
        weight_bkp = member_bkp.to(values_bchw.dtype)
        sums_bkc = weight_bkp @ values_bchw.flatten(2).transpose(1, 2)
        counts_bk1 = weight_bkp.sum(2, keepdim=True)
        if pool == "batch":
            of_group = torch.arange(len(features_bchw), device=features_bchw.device) // group
            same_bb = (of_group[:, None] == of_group).to(sums_bkc.dtype)
            sums_bkc = torch.einsum("bm,mkc->bkc", same_bb, sums_bkc)
            counts_bk1 = torch.einsum("bm,mkc->bkc", same_bb, counts_bk1)
        return sums_bkc / counts_bk1.clamp(min=1), present_bk  # Eq. (4)
