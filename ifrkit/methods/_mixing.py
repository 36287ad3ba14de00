"""Pasting one image into another: boxes, class shapes, partners. Masks are bool, True where the partner is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ifrkit.core.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def partners(clips: Sequence[int]) -> list[int]:
    """For each sample another one to be mixed with: counted from the end, and of another clip if there is one."""
    count = len(clips)
    found = []
    for i in range(count):
        others = [(count - 1 - i + k) % count for k in range(count)]
        found.append(next((j for j in others if clips[j] != clips[i]), i))
    return found


def mix(own: Tensor, other: Tensor, mask_bhw: Tensor) -> Tensor:
    """`other` where the mask is True; (b, h, w) or (b, c, h, w)."""
    return torch.where(mask_bhw if own.dim() == 3 else mask_bhw[:, None], other, own)


def boxes_of_area(
    size: tuple[int, int], count: int, shares: tuple[float, float] = (0.5, 0.5), boxes: int = 1
) -> Tensor:
    """CutMix-seg and CPS (French et al., BMVC 2020): (count, h, w) bool, on the CPU.

    Each mask has `boxes` boxes that together would cover a share from this range, of any shape; overlaps cancel.
    """
    height, width = size
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for mask in masks:
        share = float(torch.empty(1).uniform_(*shares))
        for _ in range(boxes):
            tall = math.exp(float(torch.rand(1)) * math.log(share))
            h = round(height * tall * math.sqrt(1 / boxes))
            w = round(width * share / tall * math.sqrt(1 / boxes))
            y, x = (int(torch.rand(1) * (whole - part + 1)) for whole, part in ((height, h), (width, w)))
            mask[y : y + h, x : x + w] ^= True
    return masks


def box_or_none(size: tuple[int, int], count: int, probability: float = 0.5) -> Tensor:
    """UniMatch and ST++: (count, h, w) bool on the CPU; no box, or one of 0.02 to 0.4 of the image.

    Written for square crops; here the side ratio, 0.3 to 1 / 0.3, is relative to that of the image.
    """
    height, width = size
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for mask in masks:
        if float(torch.rand(1)) >= probability:
            continue
        h = w = math.inf
        while h > height or w > width:
            share = float(torch.empty(1).uniform_(0.02, 0.4))
            ratio = float(torch.empty(1).uniform_(0.3, 1 / 0.3))
            h, w = int(height * math.sqrt(share * ratio)), int(width * math.sqrt(share / ratio))
        y, x = int(torch.rand(1) * (height - h + 1)), int(torch.rand(1) * (width - w + 1))
        mask[y : y + h, x : x + w] = True
    return masks


def half_of_the_classes(labels_bhw: Tensor, num_classes: int) -> Tensor:
    """ClassMix (Olsson et al., WACV 2021): (b, h, w) bool, True on half of the classes that a label map shows.

    Rounded down: a map of one class gives an empty mask. No loop over images, and no wait for the device.
    """
    classes = torch.arange(num_classes, device=labels_bhw.device)
    present_bk = (labels_bhw[:, None] == classes[:, None, None]).flatten(2).any(2)
    order_bk = (
        torch.rand(present_bk.shape, device=labels_bhw.device).masked_fill(~present_bk, 2.0).argsort(1).argsort(1)
    )
    chosen_bk = order_bk < present_bk.sum(1, keepdim=True) // 2
    known_bhw = labels_bhw.clamp(0, num_classes - 1)
    chosen_bhw = chosen_bk.gather(1, known_bhw.flatten(1)).view_as(labels_bhw)
    return chosen_bhw & (labels_bhw == known_bhw)
