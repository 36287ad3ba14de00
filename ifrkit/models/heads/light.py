"""A light head: the deepest map, weighed by its own context, joined with an earlier one.

The context gate is that of LR-ASPP (Howard et al., *Searching for MobileNetV3*, ICCV 2019); the sum of projected
maps is that of feature pyramids (Lin et al., CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ifrkit.models.cells import enlarged
from ifrkit.models.heads import base
from ifrkit.models.layers import ConvBNReLU, conv, scale_channels


class Head(base.Head):
    """Two maps -> feature f (96 channels times the width) -> logits, all at the earlier map's stride."""

    low_level = True

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        num_classes: int,
        dropout: float = 0.1,
        width: float = 1.0,
    ) -> None:
        inner = scale_channels(96, width)
        super().__init__(inner, strides[0], num_classes, dropout)
        self.strides = strides
        self.projections = nn.ModuleList(nn.Sequential(conv(c, inner, 1), nn.BatchNorm2d(inner)) for c in channels)
        self.gate = nn.Conv2d(channels[-1], inner, 1)
        self.bottleneck = ConvBNReLU(inner, inner, 3)
        self.start()

    def before_relu(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps, the finer first -> f before its ReLU, of either sign."""
        fine_bchw, deep_bchw = (project(x) for project, x in zip(self.projections, maps, strict=True))
        gate_bc11 = self.gate(maps[-1].mean((2, 3), keepdim=True)).sigmoid()
        height, width = fine_bchw.shape[-2:]
        deep_bchw = enlarged(deep_bchw * gate_bc11, self.strides[1], (height, width), self.strides[0])
        f_bchw: Tensor = self.bottleneck.bn(self.bottleneck.conv((fine_bchw + deep_bchw).relu()))
        return f_bchw
