"""What each method costs beside the supervised step: processor time and peak memory, next to its count of image passes.

    python benchmarks/methods.py [--backbone resnet18] [--size 128 256] [--batch 2] [--rounds 5] [NAME ...]

Every method has a process of its own that alternates between its step (loss, gradients, teacher) and the supervised one
of the same network, and prints medians of one thread's processor time. The loader, where tps has its flow, is left out.
Memory is the highest resident set of a process that makes two steps, less that of a process that only imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from ifrkit.config.stages import NetworkConfig
from ifrkit.data.batch import Batch, Place
from ifrkit.methods.base import Method
from ifrkit.models.network import build_network
from ifrkit.plugins import load, names
from ifrkit.train.branch import BranchLosses, merged_views
from ifrkit.train.passes import count_passes

CLASSES = 19
OPTIONS: dict[str, dict[str, Any]] = {"cct": {"things": list(range(11, 19))}}
MIB = 1024  # ru_maxrss counts KiB
LATE = 10_000
"""A step after every ramp-up and late start."""


def build(name: str, args: argparse.Namespace) -> tuple[BranchLosses, dict[str, Method]]:
    """The network with one method."""
    kind = load("methods", name)
    methods = {name: kind(kind.Config(**OPTIONS.get(name, {})))}
    network = build_network(NetworkConfig(backbone=args.backbone), CLASSES, seed=0)
    return BranchLosses(network, methods, "all").train(), methods


def make_batch(methods: dict[str, Method], args: argparse.Namespace) -> Batch:
    """Random views; labels of small cells, so that many classes are there."""
    rng = torch.Generator().manual_seed(0)
    height, width = args.size
    views = merged_views(methods)
    images = {view.name: torch.randn(args.batch, 3, height, width, generator=rng) for view in views}
    flows = {view.name: torch.ones(args.batch, 3, height, width) for view in views if view.neighbour_of}
    cells = torch.randint(CLASSES, (args.batch, height // 16, width // 16), generator=rng)
    label = cells.repeat_interleave(16, 1).repeat_interleave(16, 2)
    places = {name: [Place(0, 8 * len(name), False)] * args.batch for name in images}
    return Batch(images, {"v0_0": label, "pseudo": label}, {"unlabeled": list(range(args.batch))}, places, flows)


def step(losses: BranchLosses, methods: dict[str, Method], batch: Batch) -> float:
    """Processor seconds of one step, without the optimizer's."""
    losses.zero_grad()
    begin = time.process_time()
    torch.autograd.backward(torch.stack(list(losses(batch, LATE).values())).sum())
    for method in methods.values():
        method.stepped(losses.network, LATE)
    return time.process_time() - begin


def measure(name: str, args: argparse.Namespace) -> dict[str, float | str]:
    """In a process of its own: passes, ratio of times, milliseconds."""
    torch.set_num_threads(1)
    method, plain = build(name, args), build("none", args)
    batches = make_batch(method[1], args), make_batch(plain[1], args)
    times: list[tuple[float, float]] = []
    for _ in range(args.rounds + 1):
        times.append((step(*method, batches[0]), step(*plain, batches[1])))
    own, base = (statistics.median(t[i] for t in times[1:]) for i in (0, 1))
    passes = count_passes(method[0], batches[0])
    return {"passes": str(passes), "cost": passes.cost, "ratio": own / base, "ms": own * 1e3}


def peak(name: str, args: argparse.Namespace) -> dict[str, float | str]:
    """In a process of its own: MiB at the highest. "" only imports."""
    torch.set_num_threads(1)
    if name:
        losses, methods = build(name, args)
        batch = make_batch(methods, args)
        for _ in range(2):
            step(losses, methods, batch)
    return {"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB}


def child(task: str, name: str) -> dict[str, Any]:
    """Run this file again for one figure."""
    command = [sys.executable, __file__, *sys.argv[1:], "--task", task, "--name", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Print the table, or, as a child, one figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="NAME")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, nargs=2, default=(128, 256), metavar=("H", "W"), help="multiples of 16")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="one more round warms up")
    parser.add_argument("--task", choices=["measure", "peak"], help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        print(json.dumps((measure if args.task == "measure" else peak)(args.name, args)))
        return
    empty = child("peak", "")["mib"]
    base = child("peak", "none")["mib"] - empty
    print(f"{'method':14} {'image passes':>14} {'their cost':>10} {'time':>7} {'ms':>8} {'memory':>7} {'MiB':>7}")
    for name in args.methods or names("methods"):
        row, memory = child("measure", name), child("peak", name)["mib"] - empty
        print(f"{name:14} {row['passes']:>14} {row['cost']:>10.2f} {row['ratio']:>6.2f}x {row['ms']:>8.0f} "
              f"{memory / base:>6.2f}x {memory:>7.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
