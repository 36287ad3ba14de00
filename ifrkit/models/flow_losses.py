"""What FlowNetS learns from: the video itself (photometric terms), or exact flow (end-point error).

Sources: SSIM and range map as in ARFlow (Liu et al., CVPR 2020), census and smoothness as in UFlow (Jonschkowski et
al., ECCV 2020), the forward-backward rule of Sundaram et al. (ECCV 2010), the multi-scale error of FlowNet.
Images are float32 in 0..1; a mask is float32, 1 where the term counts, and never carries a gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ifrkit.models.warp import warp

EPE_WEIGHTS = (44.8, 22.4, 11.2, 11.2, 11.2)
"""Weights of the means of flow2..flow6: FlowNet's 0.005, 0.01, 0.02, 0.08, 0.32 are for sums over the pixels of a map,
taken here at its crop of 320x448. Were they weights of means, the coarsest map would count most."""


def masked_mean(value_b1hw: Tensor, mask_b1hw: Tensor) -> Tensor:
    """Mean over the masked pixels; 0 when there are none."""
    return (value_b1hw * mask_b1hw).sum() / mask_b1hw.sum().clamp(min=1)


def shrink(x_bchw: Tensor, like: Tensor) -> Tensor:
    """Means over cells, at the height and width of `like`."""
    return F.adaptive_avg_pool2d(x_bchw, (like.shape[-2], like.shape[-1]))


def l1(a_b3hw: Tensor, b_b3hw: Tensor) -> Tensor:
    """(b, 1, h, w) mean absolute difference of the channels."""
    return (a_b3hw - b_b3hw).abs().mean(1, keepdim=True)


def ssim(a_b3hw: Tensor, b_b3hw: Tensor) -> Tensor:
    """(b, 1, h, w) structural distance in 0..1 over 3x3 windows."""
    c1, c2 = 0.01**2, 0.03**2

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)

    mean_a, mean_b = mean(a_b3hw), mean(b_b3hw)
    var_a, var_b = mean(a_b3hw**2) - mean_a**2, mean(b_b3hw**2) - mean_b**2
    covariance = mean(a_b3hw * b_b3hw) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    bottom = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return ((1 - top / bottom) / 2).clamp(0, 1).mean(1, keepdim=True)


def census(a_b3hw: Tensor, b_b3hw: Tensor, radius: int = 3) -> Tensor:
    """(b, 1, h, w) robust soft Hamming distance of the census transforms over (2 radius + 1)^2 neighbours.

    It compares each pixel's neighbourhood with itself, so a change of lighting between frames costs nothing.
    """
    side = 2 * radius + 1

    def transform(image_b3hw: Tensor) -> Tensor:
        gray = (image_b3hw * image_b3hw.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True) * 255
        patches = F.unfold(F.pad(gray, (radius,) * 4, mode="replicate"), side).view(
            len(gray), side**2, *gray.shape[-2:]
        )
        difference = patches - gray
        return difference / torch.sqrt(0.81 + difference**2)

    squared = (transform(a_b3hw) - transform(b_b3hw)) ** 2
    hamming = (squared / (0.1 + squared)).sum(1, keepdim=True)
    return (hamming + 0.01) ** 0.4


def smoothness(flow_b2hw: Tensor, image_b3hw: Tensor, edge: float = 150.0) -> Tensor:
    """First-order edge-aware smoothness (scalar): flow may change where the image does."""
    terms = []
    for dim in (2, 3):
        step = flow_b2hw.diff(dim=dim)
        weight = torch.exp(-(edge * image_b3hw.diff(dim=dim)).abs().mean(1, keepdim=True))
        terms.append((weight * torch.sqrt(step**2 + 1e-6)).mean())
    return sum(terms, flow_b2hw.new_zeros(())) / 2


def in_frame(flow_b2hw: Tensor) -> Tensor:
    """(b, 1, h, w): 1 where the flow stays inside the other frame."""
    x, y = _targets(flow_b2hw)
    h, w = flow_b2hw.shape[-2:]
    return ((x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)).float().unsqueeze(1)


def range_map(flow_b2hw: Tensor) -> Tensor:
    """(b, 1, h, w): how much of the other frame lands on each pixel, 0..1; near 0 where nothing does (occlusion).

    flow: from the other frame to this one; each of its pixels is splatted bilinearly onto its target.
    """
    b, _, h, w = flow_b2hw.shape
    x, y = _targets(flow_b2hw.detach().nan_to_num())
    total = flow_b2hw.new_zeros(b, h * w)
    x0, y0 = x.floor(), y.floor()
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = x0 + dx, y0 + dy
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
            place = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).long()
            total.scatter_add_(1, place.flatten(1), (weight * inside).flatten(1))
    return total.view(b, 1, h, w).clamp(max=1)


def consistent(forward_b2hw: Tensor, backward_b2hw: Tensor) -> Tensor:
    """(b, 1, h, w): 1 where going there and back returns: |f + b'|^2 <= 0.01 (|f|^2 + |b'|^2) + 0.5."""
    back = warp(backward_b2hw, forward_b2hw)
    error = ((forward_b2hw + back) ** 2).sum(1, keepdim=True)
    size = (forward_b2hw**2).sum(1, keepdim=True) + (back**2).sum(1, keepdim=True)
    return (error <= 0.01 * size + 0.5).float().detach()


def endpoint_error(pyramid: list[Tensor], truth_b2hw: Tensor, valid_b1hw: Tensor) -> Tensor:
    """Weighted sum over levels of the mean end-point error, in the network's own unit (truth / 20).

    truth: pixels of the full frame; each level is compared with the truth averaged over its cells, visible pixels only.
    """
    total = truth_b2hw.new_zeros(())
    for level, (flow, weight) in enumerate(zip(pyramid, EPE_WEIGHTS, strict=True), start=2):
        share = shrink(valid_b1hw, flow)
        target = shrink(truth_b2hw * valid_b1hw, flow) / share.clamp(min=1e-6)
        error = torch.linalg.vector_norm(flow * 2**level - target, dim=1, keepdim=True) / 20
        total = total + weight * masked_mean(error, (share > 0.5).float())
    return total


def _targets(flow_b2hw: Tensor) -> tuple[Tensor, Tensor]:
    h, w = flow_b2hw.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(h, device=flow_b2hw.device), torch.arange(w, device=flow_b2hw.device), indexing="ij"
    )
    return x + flow_b2hw[:, 0], y + flow_b2hw[:, 1]
