"""Discriminators of the adversarial methods: is a map of classes a prediction, or is it a label?"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32


def _halvings(inputs: int, channels: int, count: int) -> list[nn.Conv2d]:
    """`count` convolutions that halve the size; the first makes `channels`, each other one twice as many as before."""
    widths = [inputs, *(channels * 2**i for i in range(count))]
    return [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths)]


def _at_least(maps_bchw: Tensor, side: int) -> Tensor:
    """Zeros below and at the right, where a map is smaller than this."""
    height, width = maps_bchw.shape[-2:]
    return F.pad(maps_bchw, (0, max(0, side - width), 0, max(0, side - height)))


class PixelDiscriminator(nn.Module):
    """AdvSemiSeg (Hung et al., BMVC 2018): one answer for each pixel. Fully convolutional, without norms."""

    def __init__(self, num_classes: int, channels: int = 64) -> None:
        super().__init__()
        layers = [part for conv in _halvings(num_classes, channels, 4) for part in (conv, nn.LeakyReLU(0.2))]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8 * channels, 1, 4, stride=2, padding=1))

    def forward(self, p_bkhw: Tensor) -> Tensor:
        """Logits (b, h, w) of "label", float32. p: probabilities or one-hot labels."""
        height, width = p_bkhw.shape[-2:]
        p_bkhw = _at_least(p_bkhw, 32)
        logits_b1hw = at_least_float32(self.layers(p_bkhw))
        logits_b1hw = F.interpolate(logits_b1hw, p_bkhw.shape[-2:], mode="bilinear", align_corners=True)
        return logits_b1hw[:, 0, :height, :width]


class ImageDiscriminator(nn.Module):
    """S4GAN (Mittal et al., TPAMI 2019): one answer for each image, which it sees beside the map of classes."""

    def __init__(self, num_classes: int, channels: int = 64) -> None:
        super().__init__()
        convolutions = _halvings(num_classes + 3, channels, 4)
        inner = [p for conv in convolutions[:3] for p in (conv, nn.LeakyReLU(0.2), nn.Dropout2d(0.5))]
        self.layers = nn.Sequential(*inner, convolutions[3], nn.LeakyReLU(0.2))
        self.last = nn.Linear(8 * channels, 1)

    def forward(self, p_bkhw: Tensor, images_b3hw: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (b,) of "label" and pooled features (b, 8 channels), float32. p: as above. images: RGB in 0..1."""
        maps_bchw = self.layers(_at_least(torch.cat([p_bkhw, images_b3hw], 1), 16))
        features_bc = at_least_float32(maps_bchw).mean((2, 3))
        return at_least_float32(self.last(features_bc)[:, 0]), features_bc
