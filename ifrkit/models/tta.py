"""Test-time augmentation: the mean prediction of a frame, its mirror image, and other sizes of both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ifrkit.models.network import Network


def probabilities(
    network: Network, images_b3hw: Tensor, scales: Sequence[float] = (1.0,), flip: bool = False
) -> Tensor:
    """Mean softmax (b, k, h, w) float32 over all sizes, and over both directions with `flip`.

    images_b3hw: normalised; a scaled copy has its sides rounded. ST (Yang et al., CVPR 2022) adds the same up.
    """
    size = images_b3hw.shape[-2:]
    maps = []
    for scale in scales:
        scaled = [max(1, round(scale * side)) for side in size]
        seen_b3hw = images_b3hw if scale == 1 else _resize(images_b3hw, scaled)
        for mirrored in (False, True)[: 1 + flip]:
            map_bkhw = network(seen_b3hw.flip(3) if mirrored else seen_b3hw).float().softmax(1)
            map_bkhw = map_bkhw.flip(3) if mirrored else map_bkhw
            maps.append(map_bkhw if scale == 1 else _resize(map_bkhw, size))
    return maps[0] if len(maps) == 1 else torch.stack(maps).mean(0)


def _resize(x_bchw: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x_bchw, list(size), mode="bilinear", align_corners=False)
