"""Layers of dilated ResNets.

At stride 8 the strides of layer3 and layer4 become dilations, at 16 that of layer4 alone. The convolution that lost its
stride still sees the denser grid that its predecessors made, so it dilates half as much as those after it (at stride 8
layer3: 1 then 2, layer4: 2 then 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ifrkit.models.layers import conv, init_convolutions, scale_channels
from ifrkit.models.trunk import Trunk

_STAGES = ((64, 4), (128, 8), (256, 16), (512, 32))
"""(channels, stride of the map without dilation) of layer1 to layer4; the stem has stride 4."""


class _Residual(nn.Module):
    """x + branch(x), then ReLU; the shortcut is projected where size or channels change."""

    expansion: ClassVar[int] = 1
    downsample: nn.Module | None

    def branch(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def project(self, inputs: int, outputs: int, stride: int) -> None:
        fits = stride == 1 and inputs == outputs
        self.downsample = None if fits else nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu_(self.branch(x) + shortcut)


class BasicBlock(_Residual):
    """Two 3x3 convolutions; the first one carries the stride. dilations: of the first, of the second."""

    def __init__(self, inputs: int, channels: int, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, channels, 3, stride, dilations[0]), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3, 1, dilations[1]), nn.BatchNorm2d(channels)
        self.project(inputs, channels, stride)

    def branch(self, x: Tensor) -> Tensor:
        """The residual, before it is added."""
        residual: Tensor = self.bn2(self.conv2(torch.relu_(self.bn1(self.conv1(x)))))
        return residual


class Bottleneck(_Residual):
    """1x1, 3x3, 1x1 convolutions; the 3x3 one carries the stride. dilations: its own comes first."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int, dilations: tuple[int, int]) -> None:
        super().__init__()
        outputs = channels * self.expansion
        self.conv1, self.bn1 = conv(inputs, channels, 1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3, stride, dilations[0]), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = conv(channels, outputs, 1), nn.BatchNorm2d(outputs)
        self.project(inputs, outputs, stride)

    def branch(self, x: Tensor) -> Tensor:
        """The residual, before it is added."""
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = torch.relu_(self.bn2(self.conv2(x)))
        residual: Tensor = self.bn3(self.conv3(x))
        return residual


class DeepStem(nn.Module):
    """Three 3x3 convolutions, the first with stride 2 (released code)."""

    out_channels: int

    def __init__(self, width: float) -> None:
        super().__init__()
        narrow, self.out_channels = scale_channels(64, width), scale_channels(128, width)
        self.conv1, self.bn1 = conv(3, narrow, 3, 2), nn.BatchNorm2d(narrow)
        self.conv2, self.bn2 = conv(narrow, narrow, 3), nn.BatchNorm2d(narrow)
        self.conv3, self.bn3 = conv(narrow, self.out_channels, 3), nn.BatchNorm2d(self.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, 128 * width, ceil(h / 2), ceil(w / 2))."""
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = torch.relu_(self.bn2(self.conv2(x)))
        return torch.relu_(self.bn3(self.conv3(x)))


class BasicStem(nn.Module):
    """One 7x7 convolution with stride 2 (torchvision)."""

    out_channels: int

    def __init__(self, width: float) -> None:
        super().__init__()
        self.out_channels = scale_channels(64, width)
        self.conv1, self.bn1 = conv(3, self.out_channels, 7, 2), nn.BatchNorm2d(self.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, 64 * width, ceil(h / 2), ceil(w / 2))."""
        return torch.relu_(self.bn1(self.conv1(x)))


_STEMS: dict[str, type[DeepStem | BasicStem]] = {"deep": DeepStem, "basic": BasicStem}


class ResNet(Trunk):
    """Images (b, 3, h, w) -> the map of layer4, (b, c, ceil(h / stride), ceil(w / stride)), not negative.

    depths: blocks of layer1 to layer4. stem: deep, basic. width multiplies every channel count. stride: 8, 16 or 32.
    low_level: the map of layer1, at 1/4, comes before it.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        depths: Sequence[int],
        stem: str = "deep",
        width: float = 1.0,
        stride: int = 8,
        low_level: bool = False,
    ) -> None:
        super().__init__()
        self.low_level = low_level
        first = _STEMS[stem](width)
        self.stem = nn.Sequential(first, nn.MaxPool2d(3, stride=2, padding=1))
        layers, inputs, reached = [], first.out_channels, 4
        for depth, (channels, plain) in zip(depths, _STAGES, strict=True):
            channels, wanted = scale_channels(channels, width), min(plain, stride)
            layers.append(_stage(block, depth, inputs, channels, wanted // reached, plain // wanted))
            inputs, reached = channels * block.expansion, wanted
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        low = scale_channels(_STAGES[0][0], width) * block.expansion
        self.channels = [low, inputs] if low_level else [inputs]
        self.strides = [4, stride] if low_level else [stride]
        init_convolutions(self)

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """The maps that the head reads, the one of layer4 last."""
        low_bchw: Tensor = self.layer1(self.stem(images_b3hw))
        high_bchw: Tensor = self.layer4(self.layer3(self.layer2(low_bchw)))
        return [low_bchw, high_bchw] if self.low_level else [high_bchw]


def _stage(
    block: type[BasicBlock | Bottleneck], depth: int, inputs: int, channels: int, stride: int, dilation: int
) -> nn.Sequential:
    first = block(inputs, channels, stride, (max(1, dilation // 2), dilation))
    outputs = channels * block.expansion
    return nn.Sequential(first, *(block(outputs, channels, 1, (dilation, dilation)) for _ in range(depth - 1)))
