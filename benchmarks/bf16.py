"""A ResNet-18 PSP training step: channels-last under bfloat16 autocast, beside float32 in contiguous memory.

    python benchmarks/bf16.py [--threads 1] [--size 128 256] [--batch 2] [--steps 60]

Both networks start alike and see the same batches; every step times both, one after the other in alternating order,
so that a busy machine slows both. Prints the two loss curves, the median times, and their ratio (target: 1.6).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from figures import Figures
from torch import Tensor

from ifrkit.config.network import NetworkConfig
from ifrkit.models.network import build_network

CLASSES = 8
CELL = 32
WARM_UP = 3


def batch_at(step: int, batch: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """A learnable task, a function of the step alone: cells of one class each, coloured by class, with noise."""
    rng = torch.Generator().manual_seed(step)
    palette = torch.rand(CLASSES, 3, generator=torch.Generator().manual_seed(0)) * 4 - 2
    cells = torch.randint(CLASSES, (batch, 1, -(-size[0] // CELL), -(-size[1] // CELL)), generator=rng)
    labels = cells.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)[:, 0, : size[0], : size[1]]
    images = palette[labels].permute(0, 3, 1, 2)
    return (images + torch.randn(images.shape, generator=rng)).contiguous(), labels


def make_step(layout: torch.memory_format, bf16: bool) -> Callable[[Tensor, Tensor], float]:
    """A network in that layout, and the function that trains it one step and returns the loss."""
    network = build_network(NetworkConfig(backbone="resnet18"), CLASSES, seed=0).train()
    network.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)

    def step(images: Tensor, labels: Tensor) -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(images.to(memory_format=layout))
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def measure(steps: int, batch: int, size: tuple[int, int]) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds and losses of each variant, step by step."""
    variants = {
        "fp32": make_step(torch.contiguous_format, bf16=False),
        "bf16": make_step(torch.channels_last, bf16=True),
    }
    results: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in variants}
    print(f"{'step':>5} {'loss fp32':>10} {'loss bf16':>10}")
    for index in range(steps):
        images, labels = batch_at(index, batch, size)
        for name in sorted(variants, reverse=index % 2 == 0):
            torch.manual_seed(index)  # the same channels are dropped in both
            start = time.perf_counter()
            loss = variants[name](images, labels)
            results[name][0].append(time.perf_counter() - start)
            results[name][1].append(loss)
        if index % 5 == 0 or index == steps - 1:
            print(f"{index:5d} {results['fp32'][1][-1]:10.4f} {results['bf16'][1][-1]:10.4f}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", type=int, nargs=2, default=(128, 256), metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help=f"the first {WARM_UP} are not timed")
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    if args.steps <= WARM_UP:
        parser.error(f"--steps: at least {WARM_UP + 1}")
    torch.set_num_threads(args.threads)
    onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {args.threads} threads, "
          f"oneDNN {'on' if onednn else 'off'}, "
          f"batch {args.batch} of {args.size[0]}x{args.size[1]}")  # fmt: skip
    results = measure(args.steps, args.batch, (args.size[0], args.size[1]))
    median = {name: statistics.median(seconds[WARM_UP:]) for name, (seconds, _) in results.items()}
    tail = {name: statistics.mean(losses[-5:]) for name, (_, losses) in results.items()}
    print(f"\nfp32 contiguous     {median['fp32'] * 1e3:8.1f} ms a step, mean loss of the last 5: {tail['fp32']:.4f}")
    print(f"bf16 channels-last  {median['bf16'] * 1e3:8.1f} ms a step, mean loss of the last 5: {tail['bf16']:.4f}")
    print(f"ratio               {median['fp32'] / median['bf16']:8.2f} (target 1.6)")
    for name in ("fp32", "bf16"):
        figures.add(name, smaller={"ms a step": median[name] * 1e3, "loss of the last 5": tail[name]})
    figures.add("bf16", larger={"x fp32": median["fp32"] / median["bf16"]})
    figures.write(args.json)


if __name__ == "__main__":
    main()
