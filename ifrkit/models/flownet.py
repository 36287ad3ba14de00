"""FlowNetS with scaled widths (spec 5.7): two frames in, backward flow at 1/4 out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32
from ifrkit.models.layers import scale_channels, seeded

_SLOPE = 0.1
_CONTRAST = 16.0
"""Frames in 0..1 vary by about 1/16 (standard deviation) within a window of the first layer."""
_UNIT = 20.0
"""The network predicts flow in units of 20 pixels of its input."""


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.LeakyReLU(_SLOPE, inplace=True))


def _deconv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2), nn.LeakyReLU(_SLOPE, inplace=True))


def _predict(inputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, 2, 3, padding=1)


def _upsample() -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(2, 2, 4, 2)


class FlowNetS(nn.Module):
    """Backward flow: the content at (x, y) of the current frame was at (x + flow[0], y + flow[1]) of the earlier one.

    Frames are (b, 3, h, w) float32 BGR in [0, 1], current first. width 0.375 is the released network (5,462,674
    parameters). The map of level s is ceil(size / 2^s).
    """

    def __init__(self, width: float = 0.375) -> None:
        super().__init__()
        self.width = width
        c1, c2, c3, c4, c5, c6 = (scale_channels(c, width) for c in (64, 128, 256, 512, 512, 1024))
        self.conv1, self.conv2 = _conv(6, c1, 7, 2), _conv(c1, c2, 5, 2)
        self.conv3, self.conv3_1 = _conv(c2, c3, 5, 2), _conv(c3, c3, 3)
        self.conv4, self.conv4_1 = _conv(c3, c4, 3, 2), _conv(c4, c4, 3)
        self.conv5, self.conv5_1 = _conv(c4, c5, 3, 2), _conv(c5, c5, 3)
        self.conv6, self.conv6_1 = _conv(c5, c6, 3, 2), _conv(c6, c6, 3)

        d5, d4, d3, d2 = (scale_channels(c, width) for c in (512, 256, 128, 64))
        i5, i4, i3, i2 = c5 + d5 + 2, c4 + d4 + 2, c3 + d3 + 2, c2 + d2 + 2
        self.deconv5, self.deconv4, self.deconv3, self.deconv2 = (
            _deconv(c6, d5), _deconv(i5, d4), _deconv(i4, d3), _deconv(i3, d2))  # fmt: skip
        self.predict_flow6, self.predict_flow5, self.predict_flow4, self.predict_flow3, self.predict_flow2 = (
            _predict(inputs) for inputs in (c6, i5, i4, i3, i2))  # fmt: skip
        self.upsample_flow6to5, self.upsample_flow5to4, self.upsample_flow4to3, self.upsample_flow3to2 = (
            _upsample() for _ in range(4))  # fmt: skip
        self.decoded_channels = i2
        self._init()

    def _init(self) -> None:
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # all layers have one
                if name.startswith("predict_flow"):
                    # Nearly no motion at first: a photometric loss learns only where the warp is about right.
                    nn.init.normal_(layer.weight, std=2e-4)
        # Frames come in 0..1 with no mean taken off: without this, brightness drowns what moves for 1000s of steps.
        with torch.no_grad():
            first = self.get_parameter("conv1.0.weight")
            first.copy_(_CONTRAST * (first - first.mean((2, 3), keepdim=True)))

    def forward(self, current_b3hw: Tensor, earlier_b3hw: Tensor) -> Tensor:
        """Flow (b, 2, h/4, w/4) in pixels of that map, float32, x first."""
        return self.pyramid(current_b3hw, earlier_b3hw)[0]

    def pyramid(self, current_b3hw: Tensor, earlier_b3hw: Tensor) -> list[Tensor]:
        """Flow at 1/4, 1/8, 1/16, 1/32, 1/64, each in pixels of its own map."""
        return self.decode(current_b3hw, earlier_b3hw)[0]

    def decode(self, current_b3hw: Tensor, earlier_b3hw: Tensor) -> tuple[list[Tensor], Tensor]:
        """The pyramid, and the map (b, decoded_channels, h/4, w/4) that the finest flow was predicted from."""
        skip2 = self.conv2(self.conv1(torch.cat([current_b3hw, earlier_b3hw], dim=1)))
        skip3 = self.conv3_1(self.conv3(skip2))
        skip4 = self.conv4_1(self.conv4(skip3))
        skip5 = self.conv5_1(self.conv5(skip4))
        x = self.conv6_1(self.conv6(skip5))
        raw6 = self.predict_flow6(x)
        x = _join(skip5, self.deconv5(x), self.upsample_flow6to5(raw6))
        raw5 = self.predict_flow5(x)
        x = _join(skip4, self.deconv4(x), self.upsample_flow5to4(raw5))
        raw4 = self.predict_flow4(x)
        x = _join(skip3, self.deconv3(x), self.upsample_flow4to3(raw4))
        raw3 = self.predict_flow3(x)
        x = _join(skip2, self.deconv2(x), self.upsample_flow3to2(raw3))
        raw2 = self.predict_flow2(x)
        # A pixel of level s is 2^s pixels wide: 5 at 1/4, 2.5 at 1/8, ...
        raws = (raw2, raw3, raw4, raw5, raw6)
        return [at_least_float32(raw) * (_UNIT / 2**s) for s, raw in enumerate(raws, start=2)], x


def _join(skip: Tensor, *upsampled: Tensor) -> Tensor:
    """The skip map beside maps that an unpadded transposed convolution made: one pixel too many at the start, and one
    or, where the skip's size is odd, two at the end."""
    h, w = skip.shape[-2:]
    return torch.cat([skip, *(x[..., 1 : 1 + h, 1 : 1 + w] for x in upsampled)], dim=1)


def build_flownet(width: float, seed: int) -> FlowNetS:
    """A FlowNetS whose start is a function of (width, seed); the global random state is left alone."""
    with seeded(seed):
        return FlowNetS(width)


def full_size(flow_b2hw: Tensor, size: Sequence[int]) -> Tensor:
    """Flow of a smaller map at full size, in pixels of the full size."""
    h, w = flow_b2hw.shape[-2:]
    scale = flow_b2hw.new_tensor([size[1] / w, size[0] / h]).view(1, 2, 1, 1)
    return F.interpolate(flow_b2hw, tuple(size), mode="bilinear", align_corners=False) * scale
