"""How long `--help` and `--dry-run` take, beside a bare `python -c pass` of the same moment.

    python benchmarks/help_latency.py [--rounds 20] [--steps 1] [--json FILE]

The help of every command, and the dry run of every stage on a small chain of artifacts that is made first (a minute).
Bytecode is written before anything is measured, as an installed package has it. Each round runs every command once, and
a bare interpreter before each; medians. Budget: 150 ms; what is over it is marked, and the exit code is then 1. Times
are wall-clock, so a busy machine shows; `x bare` is the ratio to the interpreter beside it, `cpu` the processor time.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from figures import Figures

from ifrkit.cli.main import COMMANDS

BUDGET_MS = 150
MADE = (
    "prepare synthetic --recipe tiny",
    "train-branches --recipe tiny --set loop.batch=2",
    "train-fusion --recipe tiny --set pretrain.loop.steps=1",
)
DRY_RUNS = (
    "prepare synthetic --recipe tiny --seed 1",
    "train --recipe tiny --set train-branches.seed=1",
    "train-branches --recipe tiny --seed 1",
    "pseudo-label",
    "propagate",
    "train-flow --recipe tiny --seed 1",
    "train-fusion --recipe tiny --seed 1",
    "eval",
    "predict video",
    "plan 48x96",
    "export --format torch",
)


class Taken(NamedTuple):
    """Milliseconds of one run: wall-clock, and of the processor."""

    wall: float
    cpu: float


def taken(arguments: list[str], place: Path) -> Taken:
    """One run of the interpreter with these arguments."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["IFRKIT_WORKSPACE"] = str(place / "artifacts")
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=place, env=environment, capture_output=True, stdin=subprocess.DEVNULL
    )
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr.decode()}")
    return Taken(1000 * wall, 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


def make(place: Path, steps: int) -> None:
    """The artifacts that dry runs look at, and a directory of frames."""
    for line in MADE:
        more = [] if line.startswith("prepare") else ["--steps", str(steps)]
        taken(["-m", "ifrkit", *line.split(), *more, "-q"], place)
    from PIL import Image

    (place / "video").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 48), (90, 40 * number, 7)).save(place / f"video/{number:06}.png")


def main() -> int:
    """Print a line for each command; 1 if a median is over the budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1, help="training steps of the artifacts that are made")
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    lines = ["--help", *(f"{name} --help" for name in COMMANDS), *(f"{line} --dry-run" for line in DRY_RUNS)]
    times: dict[str, list[Taken]] = {line: [] for line in lines}
    bare: list[Taken] = []
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        make(place, args.steps)
        for turn in range(args.rounds + 1):
            for line in lines:
                before, run = taken(["-c", "pass"], place), taken(["-m", "ifrkit", *line.split()], place)
                if turn:  # the first round writes bytecode
                    bare.append(before)
                    times[line].append(run)
    unit = statistics.median(run.wall for run in bare)
    print(f"{'python -c pass':64} {unit:6.0f} ms wall; load {os.getloadavg()[0]:.1f}")
    for line, runs in times.items():
        wall, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
        mark = "  over" if wall > BUDGET_MS else ""
        figures.add(f"ifrkit {line}", smaller={"ms wall": wall, "ms cpu": cpu, "x bare interpreter": wall / unit})
        print(f"{'ifrkit ' + line:64} {wall:6.0f} ms wall  {cpu:6.0f} ms cpu  {wall / unit:6.1f} x bare{mark}")
    figures.write(args.json)
    return int(any(statistics.median(run.wall for run in runs) > BUDGET_MS for runs in times.values()))


if __name__ == "__main__":
    sys.exit(main())
