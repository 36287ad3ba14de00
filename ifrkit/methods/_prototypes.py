"""What ifr and tdc share: the mean feature of each class that a map shows.

Letters: N images, C channels, K classes, P = h * w pixels of a map at 1/8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ifrkit.core.lazy import torch
from ifrkit.core.precision import at_least_float32

if TYPE_CHECKING:
    from torch import Tensor


def class_prototypes(
    features: Tensor, labels: Tensor, num_classes: int, pool: Literal["batch", "clip"] = "batch", group: int = 2
) -> tuple[Tensor, Tensor]:
    """Class means of a feature map, Eq. (4).

    features: (N, C, h, w). labels: (N, h, w) int64; an id outside 0..K-1, such as 255, counts for no class.
    pool: "clip" averages over the pixels of one image; "batch" (released code) over all images of a group of `group`
    neighbours, while each image still lists only the classes that it shows itself.
    Returns prototypes (N, K, C) and present (N, K) bool; the prototype of an absent class has no meaning.
    """
    classes = torch.arange(num_classes, device=features.device)
    member_nkp = (labels[:, None] == classes[:, None, None]).flatten(2)
    present_nk = member_nkp.any(2)
    with torch.autocast(features.device.type, enabled=False):
        values = at_least_float32(features)
        weight_nkp = member_nkp.to(values.dtype)
        sums_nkc = weight_nkp @ values.flatten(2).transpose(1, 2)
        counts_nk1 = weight_nkp.sum(2, keepdim=True)
        if pool == "batch":
            of_group = torch.arange(len(features), device=features.device) // group
            same_nn = (of_group[:, None] == of_group).to(sums_nkc.dtype)
            sums_nkc = torch.einsum("nm,mkc->nkc", same_nn, sums_nkc)
            counts_nk1 = torch.einsum("nm,mkc->nkc", same_nn, counts_nk1)
        return sums_nkc / counts_nk1.clamp(min=1), present_nk  # Eq. (4)
