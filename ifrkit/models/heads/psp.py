"""Pyramid scene parsing head: context of four pooling scales beside the map itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.models.layers import ConvBNReLU, init_convolutions, require_two, scale_channels

_SCALES = (1, 2, 3, 6)


class PSPHead(nn.Module):
    """Backbone map -> feature f (the bottleneck map, a quarter of the channels) -> logits, all at 1/8.

    Dropout belongs to the classifier, not to the feature: every call of `classify` in training mode draws its own
    mask of whole channels, and what a method reads from `features` is never dropped, as in the released code of IFR.
    """

    stride: ClassVar[int] = 8
    low_level: ClassVar[bool] = False

    def __init__(self, channels: Sequence[int], num_classes: int, dropout: float = 0.1, width: float = 1.0) -> None:
        """channels: of the one backbone map; the head's own follow from them, so width has nothing to add."""
        super().__init__()
        (inputs,) = channels
        self.feature_channels = context = scale_channels(inputs, 1 / 4)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(self.feature_channels, num_classes, 1)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(scale), ConvBNReLU(inputs, context, 1)) for scale in _SCALES
        )
        self.bottleneck = ConvBNReLU(inputs + len(_SCALES) * context, self.feature_channels, 3)
        init_convolutions(self)
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)  # type: ignore[arg-type]  # bias=True

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """Backbone map -> f (b, feature_channels, h, w), not negative."""
        return self.before_relu(maps).relu()

    def before_relu(self, maps: Sequence[Tensor]) -> Tensor:
        """Backbone map -> f before its ReLU, of either sign (TDC compares directions of it)."""
        (x_bchw,) = maps
        require_two(self, x_bchw)
        maps_bchw = torch.cat([x_bchw, *self._pyramid(x_bchw)], dim=1)
        f_bchw: Tensor = self.bottleneck.bn(self.bottleneck.conv(maps_bchw))
        return f_bchw

    def _pyramid(self, x_bchw: Tensor) -> list[Tensor]:
        """Context of each scale, at the size and in the dtype of x.

        Never in half precision: at scale 1 batch norm divides by the spread of as many values as there are images,
        and rounding them first slows the whole training down (benchmarks/bf16.py).
        """
        with torch.autocast(x_bchw.device.type, enabled=False):
            x = x_bchw.to(torch.promote_types(x_bchw.dtype, torch.float32))
            maps = [F.interpolate(m(x), x.shape[-2:], mode="bilinear", align_corners=False) for m in self.psp_modules]
        return [context.to(x_bchw.dtype) for context in maps]

    def classify(self, f_bchw: Tensor) -> Tensor:
        """f -> logits (b, num_classes, h, w), through channel dropout in training mode."""
        logits_bkhw: Tensor = self.conv_seg(self.dropout(f_bchw))
        return logits_bkhw
