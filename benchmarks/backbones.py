"""Cost of a training step (forward and backward) of each backbone and stride, beside ResNet-18 at 1/8 with head psp.

    python benchmarks/backbones.py [--size 192 256] [--batch 4] [--rounds 5]

One thread, float32, random weights; processor time over that of ResNet-18 in the same process, alternating; parameters;
peak memory of a process of its own, less that of one that only imports. Rows that begin with dots are the compact
network in other ways of computing. Five views in one pass: a batch five times as large, its time divided by five.
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

from ifrkit.config.network import network_config
from ifrkit.core.machine import reuse_memory
from ifrkit.models.network import Network, build_network

CLASSES = 11
BASE: dict[str, Any] = {"backbone": "resnet18", "head": "psp"}
COMPACT: dict[str, Any] = {"backbone": "efficientnet-lite0", "stages": 5, "head": "light"}
ROWS: dict[str, dict[str, Any]] = {
    "resnet18 1/8, psp": BASE,
    "resnet18 x0.25 1/8, psp": {**BASE, "width": 0.25},
    "lite0, 5 stages, 1/16, light": COMPACT,
    "... channels-last": {**COMPACT, "layout": "channels-last"},
    "... bf16, channels-last": {**COMPACT, "layout": "channels-last", "bf16": True},
    "... compiled": {**COMPACT, "compile": True},
    "... five views in one pass": {**COMPACT, "layout": "channels-last", "views": 5},
    "lite0, 5 stages, 1/8, light": {**COMPACT, "stride": 8},
    "... 1/8, channels-last": {**COMPACT, "stride": 8, "layout": "channels-last"},
    "... 1/8, bf16, channels-last": {**COMPACT, "stride": 8, "layout": "channels-last", "bf16": True},
    "lite0, 1/8, psp": {"backbone": "efficientnet-lite0", "stride": 8, "head": "psp"},
    "lite0, 1/16, light": {"backbone": "efficientnet-lite0", "stride": 16, "head": "light"},
    "lite0, 1/32, light": {"backbone": "efficientnet-lite0", "stride": 32, "head": "light"},
    "lite1, 1/32, light": {"backbone": "efficientnet-lite1", "stride": 32, "head": "light"},
    "lite2, 1/32, light": {"backbone": "efficientnet-lite2", "stride": 32, "head": "light"},
    "lite2, 1/16, light": {"backbone": "efficientnet-lite2", "stride": 16, "head": "light"},
}


class Step:
    """A network and one batch for it."""

    def __init__(self, row: dict[str, Any], args: argparse.Namespace) -> None:
        how = dict(row)
        layout, self.bf16, compiles = how.pop("layout", None), how.pop("bf16", False), how.pop("compile", False)
        self.views: int = how.pop("views", 1)
        self.network: Network = build_network(network_config(how), CLASSES, seed=0).train()
        self.images = torch.randn(self.views * args.batch, 3, *args.size)
        if layout:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.forward: Any = torch.compile(self.network) if compiles else self.network

    def __call__(self) -> float:
        """Processor seconds of one view."""
        begin = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.forward(self.images)
        logits.float().square().mean().backward()
        return (time.process_time() - begin) / self.views


def measure(name: str, args: argparse.Namespace) -> dict[str, float]:
    """In a process of its own."""
    own, base = Step(ROWS[name], args), Step(BASE, args)
    begin = time.monotonic()
    own(), base()  # warms up; compiles
    first = time.monotonic() - begin
    times = [(own(), base()) for _ in range(args.rounds)]
    seconds, beside = (statistics.median(pair[i] for pair in times) for i in (0, 1))
    millions = sum(p.numel() for p in own.network.parameters()) / 1e6
    return {"ms": 1e3 * seconds, "ratio": seconds / beside, "millions": millions, "first": first}


def peak(name: str, args: argparse.Namespace) -> dict[str, float]:
    """In a process of its own: MiB at the highest. "" only imports."""
    if name:
        step = Step(ROWS[name], args)
        step(), step()
    return {"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def child(task: str, name: str) -> dict[str, float] | None:
    """Run this file again for one figure; None where it fails, as compiling does without a compiler."""
    command = [sys.executable, __file__, *sys.argv[1:], "--task", task, "--name", name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table, or, as a child, one figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 256), metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has this in it")
    parser.add_argument("--task", choices=["measure", "peak"], help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    reuse_memory()
    torch.set_num_threads(1)
    if args.task:
        print(json.dumps((measure if args.task == "measure" else peak)(args.name, args)))
        return
    empty = child("peak", "")
    assert empty is not None
    print("| network | parameters, M | ms a step | over resnet18 | first step, s | memory, MiB |")
    print("|---|---|---|---|---|---|")
    for name in (name for name in ROWS if args.only in name):
        row, memory = child("measure", name), child("peak", name)
        if row is None or memory is None:
            print(f"| {name} | does not run here |  |  |  |  |", flush=True)
            continue
        numbers = f"{row['millions']:.2f} | {row['ms']:.0f} | {row['ratio']:.2f} | {row['first']:.1f}"
        print(f"| {name} | {numbers} | {memory['mib'] - empty['mib']:.0f} |", flush=True)
        figures.add(
            name,
            smaller={"ms a step": row["ms"], "over resnet18": row["ratio"], "MiB": memory["mib"] - empty["mib"]},
        )
    figures.write(args.json)


if __name__ == "__main__":
    main()
