"""What each method costs beside the supervised step: processor time and peak memory, next to its count of image passes.

    python benchmarks/methods.py [--backbone resnet18] [--size 128 256] [--batch 2] [--rounds 5] [NAME ...]

Prints the table of docs/results.md as Markdown: every method that is found, and combinations. Each has a process of its
own that alternates between its step (loss, gradients, optimizers, teacher) and the supervised one of the same network,
and prints medians of one thread's processor time. The loader, where tps has its flow and where self-training and dars
read their labels, is left out. Memory is the highest resident set of a process that makes two steps, less that of a
process that only imports; the first column of each pair is the ratio to the supervised step.
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
from figures import Figures

from ifrkit.config.network import NetworkConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.machine import reuse_memory
from ifrkit.core.plugins import load, names
from ifrkit.data.loading.batch import Batch
from ifrkit.data.loading.views import Place
from ifrkit.methods.base import Method
from ifrkit.models.network import build_network
from ifrkit.train.chosen import merged_views
from ifrkit.train.optim import branch_optimizer
from ifrkit.train.passes import count_passes
from ifrkit.train.stage_one import BranchLosses

CLASSES = 19
COMBINATIONS = ["ifr,cutmix", "ifr,cct"]
"""One that shares the reading of a view, and one that shares its pass too."""
OPTIONS: dict[str, dict[str, Any]] = {"cct": {"things": list(range(11, 19))}}
MIB = 1024  # ru_maxrss counts KiB
LATE = 10_000
"""A step after every ramp-up and late start."""


class Training:
    """The network with some methods, and what a step of it needs."""

    def __init__(self, ssl: str, args: argparse.Namespace) -> None:
        kinds = {name: load("methods", name) for name in ssl.split(",")}
        self.methods: dict[str, Method] = {n: kind(kind.Config.of(OPTIONS.get(n, {}))) for n, kind in kinds.items()}
        config = TrainBranchesConfig()
        network = build_network(NetworkConfig(backbone=args.backbone), CLASSES, seed=0)
        self.losses = BranchLosses(network, self.methods, config).train()
        own = [optimizer for method in self.methods.values() if (optimizer := method.optimizer())]
        self.optimizers = [branch_optimizer(self.losses, config, own), *own]
        self.batch = make_batch(self.methods, args)

    def step(self) -> float:
        """Processor seconds of one step."""
        begin = time.process_time()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(torch.stack(list(self.losses(self.batch, LATE).values())).sum())
        for optimizer in self.optimizers:
            optimizer.step()
        for method in self.methods.values():
            method.stepped(self.losses.network, LATE)
        return time.process_time() - begin


def make_batch(methods: dict[str, Method], args: argparse.Namespace) -> Batch:
    """Random views; labels of small cells, so that many classes are there."""
    rng = torch.Generator().manual_seed(0)
    height, width = args.size
    views = merged_views(methods)
    images = {view.name: torch.randn(args.batch, 3, height, width, generator=rng) for view in views}
    flows = {view.name: torch.ones(args.batch, 3, height, width) for view in views}
    cells = torch.randint(CLASSES, (args.batch, height // 16, width // 16), generator=rng)
    label = cells.repeat_interleave(16, 1).repeat_interleave(16, 2)
    places = {name: [Place(0, 0, 8 * len(name), False)] * args.batch for name in images}
    return Batch(images, dict.fromkeys(images, label), {"unlabeled": list(range(args.batch))}, places, flows)


def measure(ssl: str, args: argparse.Namespace) -> dict[str, float | str]:
    """In a process of its own: passes, ratio of times, milliseconds."""
    reuse_memory()
    torch.set_num_threads(1)
    own, plain = Training(ssl, args), Training("none", args)
    times = [(own.step(), plain.step()) for _ in range(args.rounds + 1)]
    seconds, base = (statistics.median(pair[i] for pair in times[1:]) for i in (0, 1))
    passes = count_passes(own.losses, own.batch)
    return {"passes": str(passes), "cost": passes.cost, "ratio": seconds / base, "ms": seconds * 1e3}


def peak(ssl: str, args: argparse.Namespace) -> dict[str, float | str]:
    """In a process of its own: MiB at the highest. "" only imports."""
    reuse_memory()
    torch.set_num_threads(1)
    if ssl:
        training = Training(ssl, args)
        for _ in range(2):
            training.step()
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
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    if args.task:
        print(json.dumps((measure if args.task == "measure" else peak)(args.name, args)))
        return
    empty = child("peak", "")["mib"]
    base = child("peak", "none")["mib"] - empty
    print("| method | image passes | cost of passes | time | ms | memory | MiB |")
    print("|---|---|---|---|---|---|---|")
    for ssl in args.methods or [*names("methods"), *COMBINATIONS]:
        row, memory = child("measure", ssl), child("peak", ssl)["mib"] - empty
        numbers = f"{row['ratio']:.2f} | {row['ms']:.0f} | {memory / base:.2f} | {memory:.0f}"
        print(f"| `{ssl}` | {row['passes']} | {row['cost']:.2f} | {numbers} |", flush=True)
        figures.add(ssl, smaller={"ms a step": row["ms"], "time over none": row["ratio"], "MiB": memory})
    figures.write(args.json)


if __name__ == "__main__":
    main()
