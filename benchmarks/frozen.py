"""A head on cached features of a frozen backbone, beside the same training without the cache, and of the whole network.

    python benchmarks/frozen.py                                          the synthetic street
    python benchmarks/frozen.py camvid --root DIR --size 180 240

Recipe `compact`, update branch, `--ssl none`, one draw of the labels, one thread. Every row is a chain of the project's
own commands in a new workspace. CPU seconds are processor time of the whole command, its start and its validations
too; a step is the median of the log, wall-clock. mIoU is that of val, of the last weights; the baseline is the whole
network. A row reaches it at the first validation that is as good, after that share of its command's CPU seconds, and
after all those of the cache. The longer training of a cached head has four times the steps: it has the time for them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from figures import Figures

TRAIN = ["train-branches", "--recipe", "compact", "--branch", "update", "--ssl", "none", "--threads", "1"]
FROZEN = ["--set", "update.freeze=all"]
FROM_CLIPS = {
    "whole": [],
    "frozen": FROZEN,
    "frozen, plain": [*FROZEN, "--set", "crop.scale=[1,1]", "--set", "crop.jitter=0"],
}
"""Row -> words of its training. plain: the steps see frames as a cache has them, neither scaled nor coloured."""
CACHED = {"cached": 1, "cached, longer": 4}
"""Row -> so many times the steps."""
VALIDATIONS = 12


class Done(NamedTuple):
    """One command: the directory of its artifact, and its processor seconds."""

    path: Path
    cpu: float


class Row(NamedTuple):
    """One training. before: CPU seconds of the cache. curve: mIoU after each share of the steps."""

    before: float
    cpu: float
    step: float
    curve: list[tuple[float, float]]

    @property
    def miou(self) -> float:
        """Of the last weights."""
        return self.curve[-1][1]

    def reaches(self, miou: float) -> float | None:
        """CPU seconds until a validation is as good; None: none is."""
        share = next((share for share, found in self.curve if found >= miou), None)
        return None if share is None else self.before + share * self.cpu


def command(args: argparse.Namespace, *words: str) -> Done:
    """Run one stage."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-m", "ifrkit", *words, "--workspace", str(args.workspace), "-q"]
    done = subprocess.run(line, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"failed: ifrkit {' '.join(words)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Done(Path(done.stdout.strip()), cpu)


def train(args: argparse.Namespace, source: Path, steps: int, *more: str, before: float = 0.0) -> Row:
    """One row, from clips or features."""
    labels = ["--labeled-count", str(args.labels)]
    how = ["--steps", str(steps), "--set", f"loop.eval_every={max(1, steps // VALIDATIONS)}"]
    done = command(args, *TRAIN, *labels, *how, *more, "--from", str(source))
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in (done.path / "update.events.jsonl").read_text().splitlines()
    ]
    curve = [(line["step"] / steps, 100 * line["metrics"]["miou"]) for line in lines if "metrics" in line]
    return Row(before, done.cpu, statistics.median(line["seconds"] for line in lines if "seconds" in line), curve)


def rows(args: argparse.Namespace) -> dict[str, Row]:
    """Those that are asked for, in their order."""
    if args.dataset == "camvid":
        given = ["camvid", "--root", str(args.root), "--set", f"size=[{args.size[0]},{args.size[1]}]"]
    else:
        given = ["synthetic", "--set", "options.train_videos=30"]
    clips = command(args, "prepare", *given).path
    made: dict[str, Row] = {}
    if any(name in args.only for name in CACHED):
        cache = command(args, "cache-features", "--recipe", "compact", "--threads", "1", "--from", str(clips))
        size = sum(file.stat().st_size for file in cache.path.glob("features-*.h5")) / 2**20
        frames = len(json.loads((cache.path / "features.json").read_text())["frames"])
        print(f"cache: {frames} frames, {size:.0f} MiB, {cache.cpu:.0f} CPU s\n")
    for name in args.only:
        if name in CACHED:
            made[name] = train(args, cache.path, CACHED[name] * args.steps, before=cache.cpu)
        else:
            made[name] = train(args, clips, args.steps, *FROM_CLIPS[name])
    return made


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", choices=["synthetic", "camvid"], default="synthetic")
    parser.add_argument("--root", type=Path, metavar="DIR", help="CamVid's directory")
    parser.add_argument("--size", type=int, nargs=2, default=(180, 240), metavar=("H", "W"))
    parser.add_argument("--labels", type=int, default=15)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--only", nargs="+", choices=[*FROM_CLIPS, *CACHED], default=[*FROM_CLIPS, *CACHED])
    Figures.option(parser)
    args = parser.parse_args()
    if args.dataset == "camvid" and args.root is None:
        parser.error("camvid needs --root DIR")
    figures = Figures()
    with tempfile.TemporaryDirectory() as place:
        args.workspace = Path(place)
        made = rows(args)
    baseline = made["whole"].miou if "whole" in made else None
    print("| | CPU s, cache | CPU s, training | ms a step | mIoU, last | as good as the whole network after |")
    print("|---|---|---|---|---|---|")
    for name, row in made.items():
        reached = None if baseline is None else row.reaches(baseline)
        said = "-" if baseline is None else "never" if reached is None else f"{reached:.0f} CPU s"
        before = f"{row.before:.0f}" if row.before else "-"
        print(f"| {name} | {before} | {row.cpu:.0f} | {1e3 * row.step:.0f} | {row.miou:.1f} | {said} |")
        smaller = {"CPU s, cache": row.before, "CPU s, training": row.cpu, "ms a step": 1e3 * row.step}
        figures.add(name, smaller=smaller, larger={"mIoU": row.miou})
    figures.write(args.json)


if __name__ == "__main__":
    main()
