"""Auxiliary decoders of CCT (Ouali et al., CVPR 2020), and the perturbations of features in front of them.

A perturbation takes features (b, c, h, w) and a guide, the bool map (b, h, w) of "things" that the main classifier sees
(cars, people: what the released code takes for not class 0), and gives features of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32

VAT_XI, VAT_EPSILON = 0.1, 2.0
"""The released step of 1e-6 is lost in float32 rounding: its adversarial direction has length 0.01 instead of 2."""
ERASE = 0.4
"""Side of the erased box over that of an object's bounding box."""


class Decoder(nn.Module):
    """Pointwise: 1x1 to k channels, then three times 1x1 to 4 k, ReLU, pixel shuffle: (b, k, 8h, 8w), not negative."""

    ENLARGES = 8

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, num_classes, 1, bias=False)
        self.grow = nn.ModuleList(nn.Conv2d(num_classes, 4 * num_classes, 1) for _ in range(3))
        nn.init.kaiming_normal_(self.project.weight, nonlinearity="relu")
        for layer in self.grow:
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            with torch.no_grad():  # ICNR: the four sub-pixels start equal, so there is no checkerboard
                layer.weight.copy_(layer.weight[::4].repeat_interleave(4, 0))

    def forward(self, f_bchw: Tensor) -> Tensor:
        """Logits at eight times the size."""
        x: Tensor = self.project(f_bchw)
        for layer in self.grow:
            x = F.pixel_shuffle(layer(x).relu(), 2)
        return x


def dropout(f_bchw: Tensor, things_bhw: Tensor) -> Tensor:
    """Half of the channels."""
    return F.dropout2d(f_bchw, 0.5)


def feature_drop(f_bchw: Tensor, things_bhw: Tensor) -> Tensor:
    """Without the most active positions: above a share of 0.7 to 0.9 (one draw) of the largest channel mean."""
    mean_b1hw = f_bchw.mean(1, keepdim=True)
    share = torch.empty((), device=f_bchw.device).uniform_(0.7, 0.9)
    return f_bchw * (mean_b1hw < share * mean_b1hw.amax((2, 3), keepdim=True))


def feature_noise(f_bchw: Tensor, things_bhw: Tensor) -> Tensor:
    """Times 0.7 to 1.3, the same noise for every image of the batch."""
    return f_bchw * (1 + torch.empty_like(f_bchw[:1]).uniform_(-0.3, 0.3))


def context_mask(f_bchw: Tensor, things_bhw: Tensor) -> Tensor:
    """Only the things."""
    return f_bchw * _at(things_bhw.float(), f_bchw)


def object_mask(f_bchw: Tensor, things_bhw: Tensor) -> Tensor:
    """Only what surrounds the things."""
    return f_bchw * (1 - _at(things_bhw.float(), f_bchw))


def guided_cutout(f_bchw: Tensor, things_bhw: Tensor) -> Tensor:
    """A box erased inside the bounding box of each thing whose outline has more than 50 corners: small ones stay."""
    masks = things_bhw.cpu().numpy().astype(np.uint8)
    keep = np.ones(masks.shape, np.float32)
    for image, mask in enumerate(masks):
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for outline in outlines:
            if len(outline) > 50:
                x, y, w, h = cv2.boundingRect(outline)
                tall, wide = int(ERASE * h), int(ERASE * w)
                top = y + int(torch.rand(()) * (h - tall + 1))
                left = x + int(torch.rand(()) * (w - wide + 1))
                keep[image, top : top + tall, left : left + wide] = 0
    return f_bchw * _at(torch.from_numpy(keep).to(f_bchw.device), f_bchw)


def adversarial(decoder: Decoder, f_bchw: Tensor) -> Tensor:
    """Features moved by VAT_EPSILON in the direction that changes this decoder's prediction most (one power step).

    r_vadv of VAT (Miyato et al., TPAMI 2019), Eq. (6) there.
    """
    with torch.autocast(f_bchw.device.type, enabled=False):
        f = at_least_float32(f_bchw.detach())
        direction = _unit(torch.rand_like(f) - 0.5).requires_grad_()
        with torch.enable_grad():
            wanted = decoder(f).detach().softmax(1)
            moved = decoder(f + VAT_XI * direction).log_softmax(1)
            # autograd.grad: nothing accumulates in the decoder, and no hook of a gradient reducer runs
            (slope,) = torch.autograd.grad(F.kl_div(moved, wanted, reduction="batchmean"), direction)
        return f_bchw + VAT_EPSILON * _unit(slope)


def _unit(x_bchw: Tensor) -> Tensor:
    length_b111: Tensor = torch.linalg.vector_norm(x_bchw, dim=(1, 2, 3), keepdim=True)
    return x_bchw / (length_b111 + 1e-8)


def _at(mask_bhw: Tensor, f_bchw: Tensor) -> Tensor:
    return F.interpolate(mask_bhw[:, None], f_bchw.shape[-2:], mode="nearest").to(f_bchw.dtype)


PERTURBATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dropout": dropout,
    "cutout": guided_cutout,
    "context": context_mask,
    "object": object_mask,
    "drop": feature_drop,
    "noise": feature_noise,
}
"""All but "vat", which needs its decoder."""
