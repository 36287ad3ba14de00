"""Forward and backward pass of depthwise convolutions: torch's own gradients beside ifrkit/models/depthwise.py.

    python benchmarks/depthwise.py [--batch 4] [--rounds 15]

One thread, channels-last maps of EfficientNet-Lite0 for crops of 128x160. Both in turn; the shortest of all rounds, for
other work only adds to a time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from figures import Figures
from torch import Tensor

from ifrkit.models.depthwise import depthwise


class Case(NamedTuple):
    """A layer. side: of the filter."""

    name: str
    channels: int
    height: int
    width: int
    side: int
    stride: int = 1
    dilation: int = 1


CASES = (
    Case("3x3", 144, 32, 40, 3),
    Case("3x3, stride 2", 96, 66, 82, 3, 2),
    Case("5x5", 240, 16, 20, 5),
    Case("5x5, stride 2", 144, 36, 44, 5, 2),
    Case("5x5, small map", 672, 8, 10, 5),
    Case("3x3, dilation 2", 480, 16, 20, 3, 1, 2),
    Case("5x5, dilation 2", 672, 16, 20, 5, 1, 2),
)

Convolve = Callable[[Tensor, Tensor], Tensor]


def timed(convolve: Convolve, x: Tensor, filters: Tensor) -> float:
    """Milliseconds of one forward and backward pass."""
    begin = time.perf_counter()
    result = convolve(x, filters)
    torch.autograd.grad(result, (x, filters), torch.ones_like(result))
    return 1e3 * (time.perf_counter() - begin)


def measure(case: Case, dtype: torch.dtype, args: argparse.Namespace) -> tuple[float, float]:
    """Milliseconds with torch's gradients, and with ours."""
    x = torch.randn(args.batch, case.channels, case.height, case.width, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    filters = torch.randn(case.channels, 1, case.side, case.side, dtype=dtype, requires_grad=True)
    around = case.dilation * (case.side // 2) if case.stride == 1 else 0

    def plain(x: Tensor, filters: Tensor) -> Tensor:
        return F.conv2d(x, filters, None, case.stride, around, case.dilation, case.channels)

    def ours(x: Tensor, filters: Tensor) -> Tensor:
        return depthwise(x, filters, case.stride, (around, around), case.dilation)

    times = [(timed(plain, x, filters), timed(ours, x, filters)) for _ in range(args.rounds)]
    return min(t for t, _ in times), min(t for _, t in times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    Figures.option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = Figures()
    print("| filter | map | float32: torch, ms | ours | ratio | bfloat16: torch, ms | ours | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for case in CASES:
        cells = [f"{args.batch}x{case.channels}x{case.height}x{case.width}"]
        for dtype in (torch.float32, torch.bfloat16):
            plain, ours = measure(case, dtype, args)
            cells += [f"{plain:.2f}", f"{ours:.2f}", f"{plain / ours:.1f}"]
            figures.add(f"{case.name}, {dtype}", smaller={"ms": ours}, larger={"over torch": plain / ours})
        print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
    figures.write(args.json)


if __name__ == "__main__":
    main()
