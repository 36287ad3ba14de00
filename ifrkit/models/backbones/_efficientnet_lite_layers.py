"""The layers of EfficientNet-Lite, with TensorFlow's padding, as its public weights expect it.

    stage    expansion  kernel  stride  channels  repeats (of lite0)
    1        1          3       1       16        1
    2        6          3       2       24        2
    3        6          5       2       40        2
    4        6          3       2       80        3
    5        6          5       1       112       3
    6        6          5       2       192       4
    7        6          3       1       320       1

The stem has stride 2 and 32 channels at every width; the first and the last stage keep their one repeat.
"""

from __future__ import annotations

import math
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.models.cells import cut
from ifrkit.models.depthwise import depthwise
from ifrkit.models.layers import init_convolutions
from ifrkit.models.trunk import Trunk

_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_EPS = 1e-3


def repeats(depth: float) -> list[int]:
    """Blocks of each stage, where the middle ones are multiplied by `depth` and rounded up."""
    last = len(_STAGES) - 1
    return [count if stage in (0, last) else math.ceil(depth * count) for stage, (*_, count) in enumerate(_STAGES)]


def _channels(count: int, width: float) -> int:
    """The nearest multiple of 8, the next one where that would take more than a tenth away."""
    nearest = max(8, int(count * width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * count * width else nearest


class SameConv(nn.Conv2d):
    """Without bias, padded as TensorFlow's "SAME" pads sides that are multiples of the stride; the trunk's always are.

    At stride 2 they get (0, 1) for 3x3 and (1, 2) for 5x5. Constants, so that an exported graph has no arithmetic of
    sizes in it.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, 0, dilation, groups, bias=False)
        missing = dilation * (kernel - 1) + 1 - stride
        self.before, self.after = max(0, missing // 2), max(0, missing - missing // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, h / stride, w / stride)."""
        around = (self.before, self.before)  # on both sides: the convolution pads by itself, without a copy
        if self.before != self.after:
            x, around = F.pad(x, (self.before, self.after, self.before, self.after)), (0, 0)
        if self.groups > 1 and self.bias is None:  # a batch norm that an export folds in leaves a bias
            return depthwise(x, self.weight, self.stride[0], around, self.dilation[0])
        return F.conv2d(x, self.weight, self.bias, self.stride, around, self.dilation, self.groups)


class InvertedBlock(nn.Module):
    """Expand (1x1), filter each channel, project (1x1, linear); added to its input where size and channels stay."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self.expand, self.expand_bn = SameConv(inputs, inner, 1), nn.BatchNorm2d(inner, _EPS)
        self.depthwise = SameConv(inner, inner, kernel, stride, dilation, groups=inner)
        self.depthwise_bn = nn.BatchNorm2d(inner, _EPS)
        self.project, self.project_bn = SameConv(inner, outputs, 1), nn.BatchNorm2d(outputs, _EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(b, inputs, h, w) -> (b, outputs, ceil(h / stride), ceil(w / stride)), of either sign."""
        inner = F.relu6(self.expand_bn(self.expand(x))) if self.expands else x
        inner = F.relu6(self.depthwise_bn(self.depthwise(inner)))
        result: Tensor = self.project_bn(self.project(inner))
        return x + result if self.adds else result


class EfficientNetLite(Trunk):
    """Images (b, 3, h, w) -> the maps that the head reads: the last one of each wanted stride.

    stride: of the deepest map; a stage whose stride would exceed it keeps the size and dilates what follows it.
    """

    def __init__(self, width: float, depth: float, stride: int, stages: int, low_level: bool) -> None:
        super().__init__()
        self.stem, self.stem_bn = SameConv(3, 32, 3, 2), nn.BatchNorm2d(32, _EPS)
        blocks, ends, inputs, reached, dilation = [], {}, 32, 2, 1
        self.counts = repeats(depth)[:stages]
        for (expansion, kernel, step, channels, _), count in zip(_STAGES[:stages], repeats(depth), strict=False):
            outputs = _channels(channels, width)
            taken = step == 2 and reached == stride
            reached *= 1 if taken else step
            blocks.append(InvertedBlock(inputs, outputs, expansion, kernel, 1 if taken else step, dilation))
            dilation *= 2 if taken else 1
            blocks += [InvertedBlock(outputs, outputs, expansion, kernel, 1, dilation) for _ in range(count - 1)]
            ends[reached], inputs = (len(blocks) - 1, outputs), outputs
        self.blocks = nn.ModuleList(blocks)
        wanted = sorted(ends)[-2:] if low_level else sorted(ends)[-1:]
        self.kept = [ends[s][0] for s in wanted]
        self.channels, self.strides = [ends[s][1] for s in wanted], wanted
        init_convolutions(self)

    def parts(self) -> list[list[nn.Module]]:
        """The stem, and the blocks of each stage."""
        blocks = iter(self.blocks)
        return [[self.stem, self.stem_bn], *(list(islice(blocks, count)) for count in self.counts)]

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """The maps, of either sign, the deepest last.

        The image is filled up to whole cells of the deepest map. "SAME" begins one pixel earlier where a side is odd:
        else what a cell sees would depend on the size of the frame, and differ from training.
        """
        height, width = images_b3hw.shape[-2:]
        below, right = (-side % self.strides[-1] for side in (height, width))
        if torch.compiler.is_exporting() or below or right:  # a graph is for both cases
            images_b3hw = F.pad(images_b3hw, (0, right, 0, below), mode="replicate")
        x_bchw, maps = F.relu6(self.stem_bn(self.stem(images_b3hw))), []
        for index, block in enumerate(self.blocks):
            x_bchw = block(x_bchw)
            if index in self.kept:
                maps.append(x_bchw)
        return [cut(m, (-(-height // s), -(-width // s))) for m, s in zip(maps, self.strides, strict=True)]
