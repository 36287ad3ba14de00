"""The tables of docs/results.md: methods compared over seeds, at equal steps and at equal image passes.

    python benchmarks/results.py synthetic
    python benchmarks/results.py camvid --root DIR [--jobs 2] [--only NAME ...] [--seeds 0 1 2]

Every cell is a chain of the project's own commands (-v prints them), so finished ones are up to date and a killed run
goes on. Update branch alone, last weights: mIoU and TC on val, inner-video gap on train (mIoU of annotated frames less
that of all others of the same clips; 0 where no other frame has a label).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

METHODS = ["none", "fixmatch", "cac", "cct", "unimatch", "cps", "self-training", "ifr", "tps", "tdc"]
METHODS += ["fixmatch,tps", "unimatch,tps"]
DATASETS: dict[str, dict[str, Any]] = {
    "synthetic": {"prepare": ["--recipe", "tiny"], "things": "[6,7]"},
    "camvid": {"prepare": ["--set", "size=[120,160]"], "things": "[8,9,10]"},
}
TRAIN = ["--recipe", "tiny", "--branch", "update"]


def command(args: argparse.Namespace, *words: str) -> Path:
    """Run one stage. Returns the directory of its artifact."""
    line = ["ifrkit", *words, "--workspace", str(args.workspace), "-q"]
    if args.verbose:
        print(" ".join(line), file=sys.stderr, flush=True)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", *line], env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(line)}")
    return Path(done.stdout.strip())


def train(args: argparse.Namespace, clips: Path, ssl: str, seed: int, budget: str) -> Path:
    """The branches of one cell. Self-training has a teacher first; at equal passes both share the budget."""
    steps = args.steps
    words = ["train-branches", *TRAIN, "--seed", str(seed), "--threads", "1", "--resume"]
    source = clips
    if ssl == "self-training":
        steps = steps // 2 if budget == "passes" else steps
        teacher = command(args, *words, "--ssl", "none", "--steps", str(steps), "--from", str(clips))
        last = ["--branch", "update", "--set", "checkpoint=last"]
        source = command(args, "pseudo-label", *last, "--from", str(teacher))
    if ssl == "cct":
        words += ["--set", f"method.cct.things={DATASETS[args.dataset]['things']}"]
    return command(args, *words, "--ssl", ssl, "--steps", str(steps), "--budget", budget, "--from", str(source))


def cell(args: argparse.Namespace, clips: Path, ssl: str, seed: int, budget: str) -> dict[str, Any]:
    """Numbers of one run: fractions, steps, passes."""
    branches = train(args, clips, ssl, seed, budget)
    shared = ["eval", "--from", str(branches), "--set", "checkpoint=last", "--set", "pictures=0"]
    val = json.loads((command(args, *shared, "--metric", "mIoU,TC") / "report.json").read_text())
    inner = command(args, *shared, "--metric", "mIoU", "--split", "train", "--frames", "all")
    video = next(iter(json.loads((inner / "report.json").read_text())["inner_video"].values()))
    tree = json.loads((branches / "branches.json").read_text())
    lines = (branches / "update.events.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    passes = tree["passes"]["update"]
    return {
        "steps": max(record["step"] for record in records),
        "seconds": statistics.median(record["seconds"] for record in records if "seconds" in record),
        "passes": f"{passes['trained']:g} FB" + (f" + {passes['plain']:g} F" if passes["plain"] else ""),
        "last": tree["branches"]["update"]["last"]["miou"],
        "best": tree["branches"]["update"]["best"]["miou"],
        "tc": next(iter(val["systems"].values()))["tc"]["tc"],
        "gap": video["annotated"] - video["others"] if video["others"] is not None else None,
    }


def spread(rows: list[dict[str, Any]], key: str) -> str:
    """Mean and sample standard deviation over seeds, in percent."""
    values = [100 * row[key] for row in rows if row[key] is not None]
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


def table(budget: str, results: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Print one table; the baseline's row is the same in both."""
    print(f"\nequal {budget}\n")
    print("| method | image passes a step | steps | s a step | mIoU, last | gain | best | gap | TC |")
    print("|---|---|---|---|---|---|---|---|---|")
    base = results.get(("none", "steps"), [])
    for (ssl, kind), rows in results.items():
        if kind != budget and ssl != "none":
            continue
        gain = statistics.mean(r["last"] for r in rows) - statistics.mean(r["last"] for r in base) if base else 0
        shown = f"{100 * gain:+.1f}" if base and ssl != "none" else ""
        numbers = [spread(rows, "last"), shown, *(spread(rows, key) for key in ("best", "gap", "tc"))]
        seconds = f"{statistics.median(row['seconds'] for row in rows):.2f}"
        print("| " + " | ".join([f"`{ssl}`", rows[0]["passes"], str(rows[0]["steps"]), seconds, *numbers]) + " |")


def main() -> None:
    """Run the matrix and print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=sorted(DATASETS))
    parser.add_argument("--root", help="where the dataset lies")
    parser.add_argument("--workspace", type=Path, default=Path("work"))
    parser.add_argument("--only", nargs="+", default=METHODS, metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200, help="of the baseline")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    root = ["--root", args.root] if args.root else []
    clips = command(args, "prepare", args.dataset, *root, *DATASETS[args.dataset]["prepare"])
    budgets = [(ssl, budget) for budget in ("steps", "passes") for ssl in args.only]
    keys = [key for key in budgets if key != ("none", "passes")]
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = {
            (key, seed): pool.submit(cell, args, clips, key[0], seed, key[1]) for seed in args.seeds for key in keys
        }
        results = {key: [runs[key, seed].result() for seed in args.seeds] for key in keys}
    for budget in ("steps", "passes"):
        table(budget, results)


if __name__ == "__main__":
    main()
