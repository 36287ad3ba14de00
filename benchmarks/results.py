"""The tables of docs/results.md: methods compared from few labels, with the recipe `compact`.

    python benchmarks/results.py camvid --root DIR --labels 15 [--only none blend] [--seeds 0 1 2] [--budget passes]
    python benchmarks/results.py camvid --root DIR --leave-out 0006R0
    python benchmarks/results.py synthetic --labels 6

Every cell is a chain of the project's own commands (-v prints them), so finished ones are up to date and a killed run
goes on. The update branch alone, or both with `--branch both`, where the reference branch labels frames for the update
branch of `blend`; none+NAME gets the branches of `none` through the pipe. Last weights, so the validation sequence
chooses nothing. Each seed has its own draw of the labeled clips, the same for all methods. Numbers are mIoU and TC on
val and the inner-video gap on train (mIoU of annotated frames less that of all others of the labeled clips).
`--tables` prints what is finished.
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

from figures import Figures

from ifrkit.artifacts.store import open_artifact
from ifrkit.evaluation.bootstrap import difference, together
from ifrkit.evaluation.records import read_records
from ifrkit.media import figures as plots
from ifrkit.report import curves

METHODS = ["none", "blend", "ifr", "unimatch", "fixmatch", "cps", "tdc", "self-training"]
COLUMNS = ["method", "passes a step", "steps", "CPU minutes", "mIoU", "over `none` [95 %]", "gap", "TC"]


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


def train(args: argparse.Namespace, clips: Path, ssl: str, labels: int, seed: int) -> Path:
    """The branches of one cell. Self-training and dars have a teacher, which shares the budget at equal passes.

    ssl: NAME:OPTION=VALUE..., or none+NAME, which gets the branches of `none` through the pipe.
    """
    first, plus, ssl = ssl.rpartition("+")
    branch = "update" if plus else args.branch
    words = ["train-branches", "--recipe", "compact", "--threads", "1", "--resume"]
    words += ["--seed", str(seed), "--labeled-count", str(labels), "--set", f"labeled.seed={seed}", *args.extra]
    steps, source = args.steps, clips
    if plus:
        source = command(args, *words, "--ssl", first, "--branch", "both", "--steps", str(steps), "--from", str(clips))
    words += ["--branch", branch]
    if ssl.partition(":")[0] in ("self-training", "dars"):
        steps = steps // 2 if args.budget == "passes" else steps
        teacher = command(args, *words, "--ssl", "none", "--steps", str(steps), "--from", str(clips))
        last = ["--branch", "update", "--set", "checkpoint=last"]
        source = command(args, "pseudo-label", *last, "--from", str(teacher))
    name, *options = ssl.split(":")  # blend:start=0 names an option of the method
    words += [part for option in options for part in ("--set", f"method.{name}.{option}")]
    return command(args, *words, "--ssl", name, "--steps", str(steps), "--budget", args.budget, "--from", str(source))


def cell(args: argparse.Namespace, clips: Path, ssl: str, labels: int, seed: int) -> None:
    """Numbers of one run, for each branch: fractions, steps, passes; kept in the workspace as they come."""
    branches = train(args, clips, ssl, labels, seed)
    shared = ["eval", "--from", str(branches), "--set", "checkpoint=last", "--set", "pictures=0"]
    report = command(args, *shared, "--metric", "mIoU,TC")
    val = json.loads((report / "report.json").read_text())
    inner = command(args, *shared, "--metric", "mIoU", "--split", "train", "--frames", "all")
    videos = json.loads((inner / "report.json").read_text())["inner_video"]
    tree = json.loads((branches / "branches.json").read_text())
    for branch, passes in tree["passes"].items():
        lines = (branches / f"{branch}.events.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        seconds = [(record["seconds"], record["step"]) for record in records if "seconds" in record]
        name = f"{branch}, every frame"
        system, video = val["systems"][name], videos[name]
        found = {
            "key": [ssl, labels, args.budget, seed, branch],
            "steps": max(step for _, step in seconds),
            "minutes": statistics.mean(s for s, _ in seconds) * max(step for _, step in seconds) / 60,
            "passes": f"{passes['trained']:g} FB" + (f" + {passes['plain']:g} F" if passes["plain"] else ""),
            "miou": system["miou"]["miou"],
            "iou": system["miou"]["iou"],
            "tc": system["tc"]["tc"],
            "gap": video["annotated"] - video["others"] if video["others"] is not None else None,
            "curve": curves.read_run(branches / f"{branch}.events.jsonl").metric,
            "report": str(report),
            "system": name,
        }
        with (args.workspace / "results.jsonl").open("a") as file:
            file.write(json.dumps(found) + "\n")


def without(root: Path, sequence: str, target: Path) -> Path:
    """A CamVid folder of links in which all frames of one sequence are val and all others train."""
    for split in ("train", "val"):
        for kind in ("", "annot"):
            for path in sorted((root / f"{split}{kind}").iterdir()):
                link = target / f"{'val' if path.name.startswith(sequence) else 'train'}{kind}" / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(path.resolve())
    return target


def spread(rows: list[dict[str, Any]], key: str) -> str:
    """Mean and sample standard deviation over seeds, in percent."""
    values = [100 * row[key] for row in rows if row[key] is not None]
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


def gain(rows: list[dict[str, Any]], base: list[dict[str, Any]]) -> str:
    """Mean mIoU less that of the baseline's same seeds, with the paired interval over videos and seeds."""
    seeds = {row["key"][3]: row for row in base}
    pairs = [(row, seeds[row["key"][3]]) for row in rows if row["key"][3] in seeds]
    if not pairs or pairs[0][0]["key"][0] == "none":
        return ""
    counts = [[confusions(row) for row in side] for side in zip(*pairs, strict=True)]
    found = difference(*counts, paired_seeds=True)
    if found.interval is None:  # one video and one seed
        return f"{100 * found.value:+.1f}"
    low, high = found.interval
    return f"{100 * found.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def confusions(row: dict[str, Any]) -> Any:
    """(videos, k, k) of a cell."""
    records = read_records(open_artifact(Path(row["report"])))
    assert records is not None
    return records.by_video(row["system"], "miou")["confusion"]


def finished(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The newest numbers of every cell that was run in this workspace, by its key."""
    lines = (args.workspace / "results.jsonl").read_text().splitlines()
    return {json.dumps(c["key"]): c for c in map(json.loads, lines)}


def tables(args: argparse.Namespace, figures: Figures) -> None:
    """Print a table for each branch, number of labels and budget; the baseline's row stands in both budgets."""
    cells = finished(args)
    for branch, labels, budget in sorted({(c["key"][4], c["key"][1], c["key"][2]) for c in cells.values()}):
        groups: dict[str, list[dict[str, Any]]] = {}
        for found in sorted(cells.values(), key=lambda c: c["key"][3]):
            fits = (found["key"][4], found["key"][1]) == (branch, labels)
            if fits and (found["key"][2] == budget or found["key"][0] == "none"):
                groups.setdefault(found["key"][0], []).append(found)
        print(f"\n{branch}, {labels} labels, equal {budget}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for ssl, rows in sorted(groups.items(), key=lambda item: item[0] != "none"):
            minutes = f"{statistics.median(row['minutes'] for row in rows):.1f}"
            numbers = [
                spread(rows, "miou"),
                gain(rows, groups.get("none", [])),
                spread(rows, "gap"),
                spread(rows, "tc"),
            ]
            first = [f"`{ssl}` ({len(rows)})", rows[0]["passes"], str(rows[0]["steps"]), minutes]
            print("| " + " | ".join(first + numbers) + " |")
            mean = statistics.mean(row["miou"] for row in rows)
            figures.add(
                f"{ssl}, {branch}, {labels} labels, {budget}",
                larger={"mIoU": mean},
                smaller={"minutes": float(minutes)},
            )
        if (count := len(groups) - ("none" in groups)) > 1:
            level = f"{100 * together(count):.4g} %"
            print(f"\n{count} comparisons with `none`: to hold together at 95 %, each has to at {level} (Bonferroni).")


def picture(args: argparse.Namespace, path: Path) -> None:
    """Validation mIoU over minutes of training, mean over seeds; dotted: where the baseline ends."""
    shown = [args.labels[0], args.budget]
    cells = [c for c in finished(args).values() if c["key"][1:3] == shown and c["key"][4] == "update"]
    figure = plots.new_figure(7, 4)
    axes = figure.subplots()
    names = sorted({c["key"][0] for c in cells}, key=lambda name: (name != "none", name))
    for number, name in enumerate(names):
        rows = [c for c in cells if c["key"][0] == name]
        steps = sorted(set.intersection(*({step for step, _ in c["curve"]} for c in rows)))
        step_minutes = statistics.median(c["minutes"] / c["steps"] for c in rows)
        means = [100 * statistics.mean(dict(map(tuple, c["curve"]))[step] for c in rows) for step in steps]
        axes.plot([step * step_minutes for step in steps], means, marker=".", label=name, **curves.line(number))
        if name == "none" and means:
            axes.axhline(means[-1], color=curves.COLORS[0], linestyle="dotted", linewidth=1)
    axes.set_xlabel("minutes of training, one thread")
    axes.set_ylabel("validation mIoU (%)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    plots.save(figure, path, dpi=110)


def main() -> None:
    """Run the cells and print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=["camvid", "synthetic"])
    parser.add_argument("--root", help="where the dataset lies")
    parser.add_argument("--leave-out", metavar="SEQUENCE", help="a sequence of CamVid that is val, and not in training")
    parser.add_argument("--size", type=int, nargs=2, help="frames of this height and width")
    parser.add_argument("--labels", type=int, nargs="+", default=[15])
    parser.add_argument("--workspace", type=Path, default=Path("work"))
    parser.add_argument("--only", nargs="+", default=METHODS, metavar="NAME", help="[none+]NAME[:OPTION=VALUE...]")
    parser.add_argument("--branch", choices=["update", "both"], default="update")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600, help="of the baseline")
    parser.add_argument("--budget", choices=["steps", "passes"], default="steps")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--tables", action="store_true", help="only print what is finished")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw mIoU over minutes into this file")
    parser.add_argument("-v", "--verbose", action="store_true")
    Figures.option(parser)
    args, extra = parser.parse_known_args()
    args.extra = extra
    figures = Figures()
    if not args.tables:
        if args.leave_out:
            args.root = without(Path(args.root), args.leave_out, args.workspace / "root")
        words = ["--root", str(args.root)] if args.root else []
        words += ["--set", f"size={args.size}"] if args.size else []
        clips = command(args, "prepare", args.dataset, *words)
        names = [name for name in args.only if (name, args.budget) != ("none", "passes")]
        with ThreadPoolExecutor(args.jobs) as pool:
            runs = [
                pool.submit(cell, args, clips, ssl, labels, seed)
                for labels in args.labels
                for seed in args.seeds
                for ssl in names
            ]
            for run in runs:
                run.result()
    tables(args, figures)
    figures.write(args.json)
    if args.picture:
        picture(args, args.picture)


if __name__ == "__main__":
    main()
