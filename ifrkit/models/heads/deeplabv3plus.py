"""DeepLabv3+ head (Chen et al., ECCV 2018): dilated pooling on the last map, joined with a low-level map at 1/4.

The rates are 12, 24, 36 where the last map has stride 8, half as much at 16. Convolutions are plain ones, as
semi-supervised work on ResNets has them, not separable. Names are those of mmsegmentation: image_pool, aspp_modules,
bottleneck, c1_bottleneck, sep_bottleneck, conv_seg.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ifrkit.models.cells import enlarged
from ifrkit.models.heads import base
from ifrkit.models.layers import ConvBNReLU, scale_channels

_RATES = (12, 24, 36)


class Head(base.Head):
    """An early map (at 1/4) and the last one -> feature f, the last map of the decoder -> logits, both at 1/4."""

    low_level, pools = True, True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
        dropout: float = 0.1,
        width: float = 1.0,
    ) -> None:
        """channels, strides: of both maps. width scales the 256 channels of the head and the 48 of the early map."""
        low, high = channels
        super().__init__(scale_channels(256, width), strides[0], num_classes, dropout)
        self.strides = strides
        own, reduced = self.feature_channels, scale_channels(48, width)
        rates = (1, *(max(1, rate * 8 // strides[1]) for rate in _RATES))
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvBNReLU(high, own, 1))
        self.aspp_modules = nn.ModuleList(ConvBNReLU(high, own, 1 if rate == 1 else 3, dilation=rate) for rate in rates)
        self.bottleneck = ConvBNReLU((1 + len(rates)) * own, own, 3)
        self.c1_bottleneck = ConvBNReLU(low, reduced, 1)
        self.sep_bottleneck = nn.Sequential(ConvBNReLU(own + reduced, own, 3), ConvBNReLU(own, own, 3))
        self.start()

    def before_relu(self, maps: Sequence[Tensor]) -> Tensor:
        """Backbone maps -> f before its ReLU, of either sign."""
        low_bchw, high_bchw = maps
        context = self.bottleneck(torch.cat([self._pooled(high_bchw), *(m(high_bchw) for m in self.aspp_modules)], 1))
        height, width = low_bchw.shape[-2:]
        context = enlarged(context, self.strides[1], (height, width), self.strides[0])
        first, last = self.sep_bottleneck
        joined_bchw = first(torch.cat([context, self.c1_bottleneck(low_bchw)], dim=1))
        f_bchw: Tensor = last.bn(last.conv(joined_bchw))  # type: ignore[operator]
        return f_bchw

    def _pooled(self, x_bchw: Tensor) -> Tensor:
        """The mean of the whole map, at its size; never in half precision, for the reason that the head psp has."""
        with torch.autocast(x_bchw.device.type, enabled=False):
            pooled: Tensor = self.image_pool(x_bchw.to(torch.promote_types(x_bchw.dtype, torch.float32)))
        return pooled.to(x_bchw.dtype).expand(-1, -1, *x_bchw.shape[-2:])
