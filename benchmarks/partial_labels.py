"""mIoU against the share of the labels' pixels that are known: the table of docs/results.md.

    python benchmarks/partial_labels.py --root CamVid --size 180 240 [--shares 1 0.1 0.01 0.001] [--only none ifr blend]

CamVid in the SegNet layout. Of each training label so many pixels stay, drawn by the seed and the frame's name; the
others become void, as if somebody had clicked so many points. They are drawn in the files, so both go through the same
resize. The validation labels stay whole. `ce_mean=valid`: the loss is a mean over the known pixels. Every cell is a
chain of the project's own commands (-v prints them), so finished ones are up to date and a killed run goes on.
`--tables` prints what is finished.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from figures import Figures
from PIL import Image
from results import command, spread, train

from data_prep.camvid.classes import SEGNET_VOID
from ifrkit.core.keyed import key_rng


def thinned(root: Path, workspace: Path, share: float, seed: int) -> Path:
    """A tree with the same frames, whose training labels keep this share of their pixels."""
    target = workspace / f"camvid-{share:g}-{seed}"
    (target / "trainannot").mkdir(parents=True, exist_ok=True)
    for name in ("train", "val", "valannot"):
        if not (target / name).exists():
            (target / name).symlink_to(root.resolve() / name)
    for path in sorted((root / "trainannot").glob("*.png")):
        ids_hw = np.array(Image.open(path))
        ids_hw[key_rng(seed, "thinned", path.name).random(ids_hw.shape) >= share] = SEGNET_VOID
        if not (target / "trainannot" / path.name).exists():
            Image.fromarray(ids_hw).save(target / "trainannot" / path.name)
    return target


def cell(args: argparse.Namespace, clips: Path, ssl: str, share: float, seed: int) -> None:
    """One training, judged on whole labels; its number is kept as it comes."""
    branches = train(args, clips, ssl, args.labels, seed)
    shared = ["--set", "checkpoint=last", "--set", "pictures=0", "--threads", "1"]
    report = command(args, "eval", "--from", str(branches), "--metric", "mIoU", *shared)
    found = next(iter(json.loads((report / "report.json").read_text())["systems"].values()))["miou"]["miou"]
    with (args.workspace / "partial.jsonl").open("a") as file:
        file.write(json.dumps({"key": [ssl, share, args.steps, seed], "miou": found}) + "\n")


def tables(args: argparse.Namespace, figures: Figures) -> None:
    """A row for each method, a column for each share; a table for each number of steps."""
    path = args.workspace / "partial.jsonl"
    cells = {json.dumps(c["key"]): c for c in map(json.loads, path.read_text().splitlines())}
    for steps in sorted({c["key"][2] for c in cells.values()}):
        groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
        for found in cells.values():
            if found["key"][2] == steps:
                groups.setdefault((found["key"][0], found["key"][1]), []).append(found)
        shares = sorted({share for _, share in groups}, reverse=True)
        print(f"\n{steps} steps\n\n| method | {' | '.join(f'{100 * s:g} %' for s in shares)} |")
        print(f"|---|{'---|' * len(shares)}")
        for (ssl, share), rows in groups.items():
            row = f"{ssl}, {100 * share:g} % known, {steps} steps"
            figures.add(row, larger={"mIoU": mean(found["miou"] for found in rows)})
        for ssl in dict.fromkeys(ssl for ssl, _ in groups):
            print(f"| `{ssl}` | {' | '.join(spread(groups.get((ssl, share), []), 'miou') for share in shares)} |")


def main() -> None:
    """Run the cells and print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="where CamVid lies")
    parser.add_argument("--size", type=int, nargs=2, default=[180, 240], help="frames of this height and width")
    parser.add_argument("--labels", type=int, default=15)
    parser.add_argument("--shares", type=float, nargs="+", default=[1, 0.1, 0.01, 0.001])
    parser.add_argument("--workspace", type=Path, default=Path("work"))
    parser.add_argument("--only", nargs="+", default=["none", "blend", "ifr"], metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--tables", action="store_true", help="only print what is finished")
    parser.add_argument("-v", "--verbose", action="store_true")
    Figures.option(parser)
    args, extra = parser.parse_known_args()
    args.budget, args.extra = "steps", ["--set", "ce_mean=valid", *extra]
    if not args.tables:
        args.workspace.mkdir(parents=True, exist_ok=True)
        for seed in args.seeds:
            for ssl in args.only:
                for share in args.shares:
                    root = thinned(args.root, args.workspace, share, seed)
                    clips = command(args, "prepare", "camvid", "--root", str(root), "--set", f"size={args.size}")
                    cell(args, clips, ssl, share, seed)
    figures = Figures()
    tables(args, figures)
    figures.write(args.json)


if __name__ == "__main__":
    main()
