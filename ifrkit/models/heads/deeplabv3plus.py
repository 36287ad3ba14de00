"""DeepLabv3+ head (Chen et al., ECCV 2018): dilated pooling on the last map, joined with a low-level map at 1/4.

On a backbone of output stride 8 the rates are 12, 24, 36. Convolutions are plain ones, as semi-supervised work on
ResNets has them, not separable. Names are those of mmsegmentation: image_pool, aspp_modules, bottleneck, c1_bottleneck,
sep_bottleneck, conv_seg.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.models.layers import ConvBNReLU, init_convolutions, require_two, scale_channels

_RATES = (1, 12, 24, 36)


class DeepLabV3PlusHead(nn.Module):
    """Maps of layer1 (1/4) and layer4 (1/8) -> feature f, the last map of the decoder, at 1/4 -> logits at 1/4.

    Dropout is in the classifier, as in PSPHead.
    """

    stride: ClassVar[int] = 4
    low_level: ClassVar[bool] = True

    def __init__(self, inputs: Sequence[int], num_classes: int, dropout: float = 0.1, width: float = 1.0) -> None:
        """inputs: channels of both maps. width scales the 256 channels of the head and the 48 of the low-level map."""
        super().__init__()
        low, high = inputs
        self.feature_channels = channels = scale_channels(256, width)
        reduced = scale_channels(48, width)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvBNReLU(high, channels, 1))
        self.aspp_modules = nn.ModuleList(
            ConvBNReLU(high, channels, 1 if rate == 1 else 3, dilation=rate) for rate in _RATES
        )
        self.bottleneck = ConvBNReLU((1 + len(_RATES)) * channels, channels, 3)
        self.c1_bottleneck = ConvBNReLU(low, reduced, 1)
        self.sep_bottleneck = nn.Sequential(
            ConvBNReLU(channels + reduced, channels, 3), ConvBNReLU(channels, channels, 3)
        )
        init_convolutions(self)
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        nn.init.zeros_(self.conv_seg.bias)  # type: ignore[arg-type]  # bias=True

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """Backbone maps -> f (b, feature_channels, h/4, w/4), not negative."""
        return self.before_relu(maps).relu()

    def before_relu(self, maps: Sequence[Tensor]) -> Tensor:
        """Backbone maps -> f before its ReLU, of either sign."""
        low_bchw, high_bchw = maps
        require_two(self, high_bchw)
        context = self.bottleneck(torch.cat([self._pooled(high_bchw), *(m(high_bchw) for m in self.aspp_modules)], 1))
        context = F.interpolate(context, low_bchw.shape[-2:], mode="bilinear", align_corners=False)
        first, last = self.sep_bottleneck
        joined_bchw = first(torch.cat([context, self.c1_bottleneck(low_bchw)], dim=1))
        f_bchw: Tensor = last.bn(last.conv(joined_bchw))  # type: ignore[operator]
        return f_bchw

    def _pooled(self, x_bchw: Tensor) -> Tensor:
        """The mean of the whole map, at its size; never in half precision, for the reason that PSPHead has."""
        with torch.autocast(x_bchw.device.type, enabled=False):
            pooled: Tensor = self.image_pool(x_bchw.to(torch.promote_types(x_bchw.dtype, torch.float32)))
        return pooled.to(x_bchw.dtype).expand(-1, -1, *x_bchw.shape[-2:])

    def classify(self, f_bchw: Tensor) -> Tensor:
        """f -> logits (b, num_classes, h, w), through channel dropout in training mode."""
        logits_bkhw: Tensor = self.conv_seg(self.dropout(f_bchw))
        return logits_bkhw
