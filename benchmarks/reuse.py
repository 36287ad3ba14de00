"""Forward passes with memory that is used again (`ifrkit.core.machine.reuse_memory`) and without.

    python benchmarks/reuse.py [--rounds 12] [--json FILE]

The branches of recipe `compact` on one frame, one thread. Each way is a process of its own; the two of a row take
turns. Processor time, the median of all rounds but the first two; and the most memory that the process held.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Iterator
from functools import partial

import torch
from figures import Figures
from turns import in_turns

from ifrkit.config.resolve import resolve
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.machine import reuse_memory
from ifrkit.models.network import build_network

SIZES = ((180, 240), (360, 480), (720, 1280), (1080, 1920))


def passes(branch: str, size: tuple[int, int], reuse: bool) -> Iterator[tuple[float, float]]:
    """Milliseconds of each forward pass, and the most MiB so far."""
    if reuse:
        reuse_memory()
    torch.set_num_threads(1)
    config, _ = resolve(TrainBranchesConfig, "train-branches", recipes=("compact",))
    assert isinstance(config, TrainBranchesConfig)
    network, frame = build_network(getattr(config, branch), 11, seed=0).eval(), torch.randn(1, 3, *size)
    while True:
        begin = time.process_time()
        with torch.inference_mode():
            network(frame)
        yield 1e3 * (time.process_time() - begin), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    Figures.option(parser)
    args, figures = parser.parse_args(), Figures()
    print("| branch | frame | without, ms | with, ms | times as fast | MiB without | with |")
    print("|---|---|---|---|---|---|---|")
    for branch in ("update", "reference"):
        for size in SIZES:
            ways = {str(reuse): partial(passes, branch, size, reuse) for reuse in (False, True)}
            found = in_turns(ways, args.rounds)
            (before, after), (low, high) = zip(*map(taken, found.values()), strict=True)
            row = f"{branch} | {size[0]}x{size[1]}"
            print(f"| {row} | {before:.0f} | {after:.0f} | {before / after:.2f} | {low:.0f} | {high:.0f} |", flush=True)
            figures.add(row, smaller={"ms": after, "MiB": high}, larger={"times as fast": before / after})
    figures.write(args.json)


def taken(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    """Median milliseconds without the first two rounds, and MiB."""
    return statistics.median(ms for ms, _ in rounds[2:]), rounds[-1][1]


if __name__ == "__main__":
    main()
