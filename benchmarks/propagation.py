"""`ifrkit propagate`: accuracy of carried labels over distance and over confidence, on labels that training never saw.

    python benchmarks/propagation.py [--videos 8] [--reach 15] [--steps 200] [--size 96 192] [--seed 0] [--threads 1]
    python benchmarks/propagation.py camvid --root DIR --size 180 240 --labels 15     SegNet layout, a frame a second
    python benchmarks/propagation.py camvid --root DIR --size 180 240 --labels 5 --dense   its 15 Hz sequence
    python benchmarks/propagation.py --from BRANCHES      branches of other clips that have hidden labels

On the street the label in the middle of each clip goes both ways; on CamVid the labels of so many clips, drawn by the
seed, along their sequences. --dense carries through the validation sequence, which is filmed at 15 Hz: it and the
training sequences change places. Beside what `propagate` makes (flow and network together) stand the flow alone, the
network alone, and the label copied. The network, a reference branch, learned from these same labels, by recipe tiny
(street) or compact (CamVid) unless it is given. Accuracy is over all pixels; one of which a system says nothing counts
as wrong, and in brackets is the share of those of which it says something.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import Figures
from numpy.typing import NDArray

from ifrkit.annotate.chains import chains
from ifrkit.annotate.propagation import Limits, Propagated, Propagation
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact, open_artifact
from ifrkit.config.prepare import PrepareConfig
from ifrkit.config.propagate import PropagateConfig
from ifrkit.config.resolve import resolve
from ifrkit.core.machine import reuse_memory
from ifrkit.core.records import IGNORE
from ifrkit.data.store.clips import ClipStore
from ifrkit.flow_sources import flow_source
from ifrkit.stages import prepare, train_branches
from ifrkit.stages._propagate import BranchVoice
from ifrkit.stages._propagate_check import visible_labels
from ifrkit.stages.runner import Run, execute

BINS = (0.0, 0.5, 0.7, 0.9, 0.97, 1.01)
DISTANCES = (1, 2, 3, 5, 8, 11, 15, 20, 30)


class Tally:
    """Right, said, and all pixels of one system by distance; right and said ones by confidence."""

    def __init__(self) -> None:
        self.distance: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(3))
        self.confidence = np.zeros((len(BINS) - 1, 2))

    def add(self, distance: int, ids_hw: Any, confidence_hw: Any, truth_hw: Any) -> None:
        """One frame."""
        asked, said = truth_hw != IGNORE, ids_hw != IGNORE
        right = asked & said & (ids_hw == truth_hw)
        self.distance[distance] += right.sum(), (asked & said).sum(), asked.sum()
        if confidence_hw is not None:
            for row, (low, high) in enumerate(pairwise(BINS)):
                here = asked & said & (confidence_hw >= low) & (confidence_hw < high)
                self.confidence[row] += right[here].sum(), here.sum()


def street(options: argparse.Namespace) -> PrepareConfig:
    """Streets whose middle frame is labeled."""
    length = 2 * options.reach + 1
    found = {"train_videos": options.videos, "val_videos": 1, "clip_length": length, "annotated": options.reach}
    size = {"height": options.size[0], "width": options.size[1]}
    return PrepareConfig.of({"dataset": "synthetic", "options": found | size, "seed": options.seed})


def camvid(options: argparse.Namespace, workspace: Path) -> PrepareConfig:
    """CamVid in the SegNet layout; --dense: the 15 Hz sequence is for training, the others for validation."""
    root = options.root.resolve()
    if options.dense:
        for kind in ("", "annot"):
            for name, other in (("train", "val"), ("val", "train")):
                (workspace / "swapped").mkdir(exist_ok=True)
                (workspace / "swapped" / f"{name}{kind}").symlink_to(root / f"{other}{kind}")
        root = workspace / "swapped"
    return PrepareConfig.of({"dataset": "camvid", "root": str(root), "size": options.size})


def trained(workspace: Path, options: argparse.Namespace) -> Artifact:
    """A reference branch that learned from the labels that are carried."""
    real = options.dataset == "camvid"
    config = camvid(options, workspace) if real else street(options)
    clips = execute(prepare.STAGE, config, Run(workspace=workspace, inputs=[]))
    sets = [f"loop.steps={options.steps}", f"loop.eval_every={options.steps}", "branches=reference"]
    if real:
        sets += [f"labeled.count={options.labels}", f"labeled.seed={options.seed}"]
        sets += [f"crop.size={[s * 2 // 3 // 16 * 16 for s in options.size]}"]
    made, _ = resolve(
        train_branches.STAGE.config_type,
        "train-branches",
        recipes=("compact" if real else "tiny",),
        flags={"ssl": ("none", "--ssl"), "seed": (options.seed, "--seed")},
        sets=(*sets, "runtime.workers=0"),
    )
    return execute(train_branches.STAGE, made, Run(workspace=workspace, inputs=[clips]))


def measure(branches: Artifact, reach: int, scratch: Path) -> dict[str, Tally]:
    """All systems on every frame with a hidden label that a label reaches."""
    job = Job(None, [branches], scratch, scratch)
    store, labels = ClipStore.of(job.input("clips")), visible_labels(ClipStore.of(job.input("clips")), branches)
    network = BranchVoice(branches, PropagateConfig(), store, torch.device("cpu"))
    between = flow_source("dis", None).between
    tallies: dict[str, Tally] = defaultdict(Tally)
    for chain in chains(store):
        runs = {
            name: Propagation(store, between, voice, Path(tempfile.mkdtemp(dir=scratch))).run(
                chain, labels, Limits(reach, explained)
            )
            for name, voice, explained in (
                ("propagate", network, 0.5),
                ("flow, to the end", None, 0.0),
                ("with network, to the end", network, 0.0),
            )
        }
        for frames in zip(*runs.values(), strict=True):
            found: dict[str, Propagated] = dict(zip(runs, frames, strict=True))
            far = found["flow, to the end"]
            link, index = far.link, far.link.place
            if far.own or not far.origins or index not in store.clips[link.clip].hidden:
                continue
            truth_hw, distance = store.label(link.clip, index, hidden=True), min(o.steps for o in far.origins)
            for name, frame in found.items():
                if frame.origins:
                    tallies[name].add(distance, frame.ids_hw, frame.confidence_hw, truth_hw)
            probability_khw = network(link)
            tallies["network"].add(distance, probability_khw.argmax(0), probability_khw.max(0), truth_hw)
            source = min(far.origins, key=lambda origin: origin.steps).frame
            tallies["copy"].add(distance, store.label(*labels[source]), None, truth_hw)
    return tallies


def show(tallies: dict[str, Tally], figures: Figures) -> None:
    """Both tables."""
    every = sorted({d for tally in tallies.values() for d in tally.distance})
    shown = [d for d in DISTANCES if d in every]
    print(f"| accuracy (says), % | {' | '.join(f'{d} frames' for d in shown)} | all |")
    print(f"|---|{'---|' * (len(shown) + 1)}")
    for name, tally in tallies.items():
        whole = np.sum(list(tally.distance.values()), 0)
        cells = [tally.distance.get(d) for d in shown] + [whole]
        figures.add(name, larger={"accuracy, %": 100 * whole[0] / whole[2]})
        texts = ["" if c is None else f"{100 * c[0] / c[2]:.1f} ({100 * c[1] / c[2]:.0f})" for c in cells]
        print(f"| {name} | {' | '.join(texts)} |")
    spans = " | ".join(f"{low:g} to {min(high, 1):g}" for low, high in pairwise(BINS))
    print(f"\n| right (share), % at confidence | {spans} |")
    print(f"|---|{'---|' * (len(BINS) - 1)}")
    for name, tally in tallies.items():
        total = tally.confidence[:, 1].sum()
        if total:
            texts = [f"{100 * r / n:.1f} ({100 * n / total:.0f})" if n else "" for r, n in tally.confidence]
            print(f"| {name} | {' | '.join(texts)} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", choices=["synthetic", "camvid"], default="synthetic")
    parser.add_argument("--root", type=Path, help="where CamVid lies")
    parser.add_argument("--labels", type=int, default=15, help="labeled clips of CamVid")
    parser.add_argument("--dense", action="store_true", help="carry through CamVid's 15 Hz sequence")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--reach", type=int, default=15)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, nargs=2, default=(96, 192))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--from", dest="source", type=Path)
    Figures.option(parser)
    options = parser.parse_args()
    figures = Figures()
    reuse_memory()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as place:
        branches = open_artifact(options.source) if options.source else trained(Path(place), options)
        scratch = Path(place) / "scratch"
        scratch.mkdir()
        show(measure(branches, options.reach, scratch), figures)
    figures.write(options.json)


if __name__ == "__main__":
    main()
