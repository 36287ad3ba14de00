"""Pyramid scene parsing head: context of four pooling scales beside the map itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.models.heads import base
from ifrkit.models.layers import ConvBNReLU, scale_channels

_SCALES = (1, 2, 3, 6)


class Head(base.Head):
    """Backbone map -> feature f (the bottleneck map, a quarter of the channels) -> logits, all at the map's stride."""

    pools = True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
        dropout: float = 0.1,
        width: float = 1.0,
    ) -> None:
        """channels: of the one backbone map; the head's own follow from them, so width has nothing to add."""
        (inputs,), (stride,) = channels, strides
        context = scale_channels(inputs, 1 / 4)
        super().__init__(context, stride, num_classes, dropout)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(scale), ConvBNReLU(inputs, context, 1)) for scale in _SCALES
        )
        self.bottleneck = ConvBNReLU(inputs + len(_SCALES) * context, self.feature_channels, 3)
        self.start()

    def before_relu(self, maps: Sequence[Tensor]) -> Tensor:
        """Backbone map -> f before its ReLU, of either sign (TDC compares directions of it)."""
        (x_bchw,) = maps
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
