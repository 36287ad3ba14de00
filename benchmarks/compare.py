"""Two measurements side by side: the ratio of every figure, the worst first.

    python benchmarks/compare.py OLD NEW [--threshold 1.25] [--other-machine]

OLD and NEW are files that benchmarks wrote with `--json`, or directories of such files. A ratio above 1 is worse: more
time or memory, fewer samples a second. Exit code 1 where one is above the threshold, 2 where there is nothing to
compare, or the measurements are of two machines or library versions (`--other-machine` compares them all the same).
Figures of a run that one side lacks are named and do not count. What one run measures varies: take a threshold above
the scatter of two runs of the same code.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

Name = tuple[str, str, str]
"""Benchmark, row, figure."""


class Change(NamedTuple):
    """A figure of both sides. worse: above 1 where the new one is worse."""

    name: Name
    old: float
    new: float
    worse: float


class Measured(NamedTuple):
    """All figures of one side, with the direction that is better, and the machines that they are of."""

    figures: dict[Name, tuple[float, str]]
    machines: dict[str, dict[str, Any]]


def read(path: Path) -> Measured:
    """The figures of a file, or of all JSON files of a directory. Exits where that cannot be read."""
    measured = Measured({}, {})
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        try:
            tree = json.loads(file.read_text())
            name = tree["benchmark"]
            measured.machines[name] = {key: value for key, value in tree["machine"].items() if key != "load"}
            for one in tree["figures"]:
                measured.figures[name, one["row"], one["figure"]] = float(one["value"]), one["better"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"{file}: not what a benchmark writes with --json ({type(error).__name__}: {error})", file=sys.stderr)
            raise SystemExit(2) from None
    return measured


def changes(old: Measured, new: Measured) -> list[Change]:
    """Every figure of both sides, the worst first."""
    found = []
    for name in old.figures.keys() & new.figures.keys():
        (before, better), (after, _) = old.figures[name], new.figures[name]
        top, bottom = (after, before) if better == "smaller" else (before, after)
        worse = top / bottom if bottom else (1.0 if top == bottom else math.inf)
        found.append(Change(name, before, after, worse))
    return sorted(found, key=lambda change: (-change.worse, change.name))


def differing(old: Measured, new: Measured) -> list[str]:
    """What is another on the two machines, of the benchmarks that both sides ran."""
    lines = []
    for name in sorted(old.machines.keys() & new.machines.keys()):
        before, after = old.machines[name], new.machines[name]
        keys = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
        lines += [f"{name}: {key} {before.get(key)} and {after.get(key)}" for key in keys]
    return lines


def main() -> int:
    """Print the table; see the top for the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--threshold", type=float, default=1.25, help="the largest ratio that is allowed")
    parser.add_argument("--other-machine", action="store_true", help="compare measurements of two machines")
    args = parser.parse_args()
    old, new = read(args.old), read(args.new)
    found, others = changes(old, new), differing(old, new)
    for line in others:
        print(f"not the same machine: {line}")
    if not found or (others and not args.other_machine):
        print("no figure is on both sides" if not found else "--other-machine compares them all the same")
        return 2
    width = max(len(" / ".join(change.name)) for change in found)
    print(f"{'worse':>7}  {'':{width}}  {'old':>12}  {'new':>12}")
    for change in found:
        mark = "  over" if change.worse > args.threshold else ""
        print(f"{change.worse:7.3f}  {' / '.join(change.name):{width}}  {change.old:12.5g}  {change.new:12.5g}{mark}")
    for side, ours, theirs in (("old", old, new), ("new", new, old)):
        for name in sorted(ours.figures.keys() - theirs.figures.keys()):
            print(f"only {side}: {' / '.join(name)}")
    over = sum(change.worse > args.threshold for change in found)
    print(f"{over} of {len(found)} figures are worse than {args.threshold:g} times")
    return int(over > 0)


if __name__ == "__main__":
    sys.exit(main())
