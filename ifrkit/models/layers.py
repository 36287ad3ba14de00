"""What several networks share: scaled widths, seeded construction, initialisation, and conv + norm + ReLU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def scale_channels(channels: int, width: float) -> int:
    """`channels` times `width`, as the nearest multiple of 8 (so that vectorised kernels fit), at least 8."""
    return max(8, 8 * round(channels * width / 8))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of this block depend on `seed` alone, and the caller's random state is untouched.

    Only the CPU generator: networks are built on the CPU and moved afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def init_convolutions(module: nn.Module) -> None:
    """Normal with standard deviation sqrt(2 / (k * k * channels out)): the gain of a ReLU, seen from the output."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded so that only the stride changes the size."""
    return nn.Conv2d(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=False)


class ConvBNReLU(nn.Module):
    """Convolution, batch norm, ReLU; released checkpoints call the parts `conv` and `bn`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, kernel, dilation=dilation)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h, w), not negative."""
        return torch.relu_(self.bn(self.conv(x)))
