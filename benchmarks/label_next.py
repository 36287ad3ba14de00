"""`ifrkit label-next` against other ways to choose frames, at equal numbers of labels: the curves of docs/results.md.

    python benchmarks/label_next.py camvid --root DIR --size 180 240 [--only random label-next] [--rounds 3]
    python benchmarks/label_next.py synthetic

Every seed begins with the same drawn frames for all; then each way adds as many in each round, to its own model's or
to its own rule's choice, and trains once more from the start. `random` draws; `uniform` takes the frame farthest in
time from all that are labeled, over all footage end to end; `k-center` the one farthest in the features of the trained
reference branch; `label-next` asks the command. All choose among the same frames, one a clip. mIoU is the update
branch's, last weights, on the val split. Every cell is a chain of the project's own commands (-v prints them), so
finished ones are up to date and a killed run goes on. `--tables` prints what is finished.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from figures import Figures
from results import command, gain, spread

from ifrkit.artifacts.store import open_artifact
from ifrkit.data.store.clips import ClipStore
from ifrkit.init.next_frames import NextFrames
from ifrkit.init.selection import k_center

STREET = ["options.train_videos=6", "options.clips_per_video=8"]
"""Footage to choose from: 48 clips, where the generator's default has one clip of each video."""

Choice = Callable[[argparse.Namespace, ClipStore, Path, list[str], str], list[str]]
"""(arguments, clips, branches trained so far, labeled frames, name of the cell) -> the next frames."""


def drawn(args: argparse.Namespace, store: ClipStore, branches: Path, labeled: list[str], cell: str) -> list[str]:
    """By chance."""
    free = [name for name in candidates(store) if name not in labeled]
    return random.Random(f"{cell} {len(labeled)}").sample(free, args.count)


def uniform(args: argparse.Namespace, store: ClipStore, branches: Path, labeled: list[str], cell: str) -> list[str]:
    """Farthest in time from all labeled ones, one after the other."""
    names = candidates(store)
    places_n1 = np.arange(len(names), dtype=np.float32)[:, None]
    return [names[row] for row in k_center(places_n1, args.count, [names.index(name) for name in labeled])]


def features(args: argparse.Namespace, store: ClipStore, branches: Path, labeled: list[str], cell: str) -> list[str]:
    """Farthest in the features of the reference branch, one after the other."""
    chooser = NextFrames(open_artifact(branches), "cpu")
    names = candidates(store)
    rows_nd = np.stack([chooser.look(name).seen.feature_c for name in names])
    return [names[row] for row in k_center(rows_nd, args.count, [names.index(name) for name in labeled])]


def asked(args: argparse.Namespace, store: ClipStore, branches: Path, labeled: list[str], cell: str) -> list[str]:
    """What `ifrkit label-next` says, in a project of this round alone."""
    project = args.workspace / "projects" / f"{cell}-{len(labeled)}"
    shutil.rmtree(project, ignore_errors=True)  # of a run that was killed
    words = ["label-next", str(project), "--count", str(args.count), "--from", str(branches), "--threads", "1"]
    command(args, *words)
    return [choice["name"] for choice in json.loads((project / "label_next.json").read_text())]


WAYS: dict[str, Choice] = {"random": drawn, "uniform": uniform, "k-center": features, "label-next": asked}
LOOKS = ("k-center", "label-next")
"""They look with the reference branch, so it is trained where they have to choose."""


def candidates(store: ClipStore) -> list[str]:
    """The annotated frame of every training clip, in order of time."""
    records = [store.clips[clip] for clip in store.clips_of("train")]
    return sorted(record.frames[record.annotated] for record in records if record.annotated is not None)


def train(args: argparse.Namespace, clips: Path, labeled: Sequence[str], seed: int, branch: str) -> Path:
    """Branches that learned from these frames. Their list is named after what it holds."""
    lists = args.workspace / "lists"
    lists.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{name}\n" for name in sorted(labeled))
    path = lists / f"{len(labeled)}-{seed}.txt"
    path.write_text(text)
    words = ["train-branches", "--recipe", "compact", "--ssl", "none", "--branch", branch, "--threads", "1", "--resume"]
    words += ["--labeled-list", str(path), "--seed", str(seed), "--steps", str(args.steps)]
    return command(args, *words, "--from", str(clips), *args.extra)


def curve(args: argparse.Namespace, clips: Path, way: str, seed: int) -> None:
    """All rounds of one way and seed; each number is kept as it comes."""
    store = ClipStore(clips)
    labeled = random.Random(seed).sample(candidates(store), args.count)
    for number in range(args.rounds):
        last = number == args.rounds - 1
        branch = "both" if number == 0 or (way in LOOKS and not last) else "update"
        branches = train(args, clips, labeled, seed, branch)
        shared = ["--set", "checkpoint=last", "--set", "pictures=0", "--threads", "1"]
        report = command(args, "eval", "--from", str(branches), "--metric", "mIoU", *shared)
        systems = json.loads((report / "report.json").read_text())["systems"]
        system = next(name for name in systems if name.startswith("update"))
        cell = {
            "key": [way, len(labeled), args.dataset, seed],
            "miou": systems[system]["miou"]["miou"],
            "report": str(report),
            "system": system,
            "labeled": labeled,
        }
        with (args.workspace / "label_next.jsonl").open("a") as file:
            file.write(json.dumps(cell) + "\n")
        if not last:
            labeled = labeled + WAYS[way](args, store, branches, labeled, f"{way}-{seed}")


def tables(args: argparse.Namespace, figures: Figures) -> None:
    """mIoU of each way over the number of labels, and what it has over `random` at the same number."""
    path = args.workspace / "label_next.jsonl"
    cells = {json.dumps(c["key"]): c for c in map(json.loads, path.read_text().splitlines())}
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for found in cells.values():
        groups.setdefault((found["key"][0], found["key"][1]), []).append(found)
    numbers = sorted({labels for _, labels in groups})
    print(f"| way (seeds) | {' | '.join(f'{n} labels' for n in numbers)} |\n|---|{'---|' * len(numbers)}")
    for way in WAYS:
        texts = []
        for labels in numbers:
            rows, base = groups.get((way, labels), []), groups.get(("random", labels), [])
            if rows:
                figures.add(f"{way}, {labels} labels", larger={"mIoU": mean(row["miou"] for row in rows)})
            over = "" if way == "random" or labels == numbers[0] else gain(rows, base)
            texts.append(f"{spread(rows, 'miou')}{f', {over}' if over else ''}")
        seeds = {found["key"][3] for found in cells.values() if found["key"][0] == way}
        if seeds:
            print(f"| {way} ({len(seeds)}) | {' | '.join(texts)} |")


def main() -> None:
    """Run the curves and print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=["camvid", "synthetic"])
    parser.add_argument("--root", help="where the dataset lies")
    parser.add_argument("--size", type=int, nargs=2, help="frames of this height and width")
    parser.add_argument("--workspace", type=Path, default=Path("work"))
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--count", type=int, default=4, help="frames in each round, the first one included")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--tables", action="store_true", help="only print what is finished")
    parser.add_argument("-v", "--verbose", action="store_true")
    Figures.option(parser)
    args, extra = parser.parse_known_args()
    args.extra = extra
    if not args.tables:
        sets = [f"size={args.size}"] if args.size else []
        sets += STREET if args.dataset == "synthetic" else []
        words = [*(["--root", args.root] if args.root else []), *(word for text in sets for word in ("--set", text))]
        clips = command(args, "prepare", args.dataset, *words)
        for seed in args.seeds:  # the outer loop, so that what is finished compares all ways
            for way in args.only:
                curve(args, clips, way, seed)
    figures = Figures()
    tables(args, figures)
    figures.write(args.json)


if __name__ == "__main__":
    main()
