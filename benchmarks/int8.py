"""8-bit integers against the float graph that they are made from: processor time of a frame, and mIoU.

    python benchmarks/int8.py EXPORTED [--branch update] [--frames 48] [--calibration 18] [--threads 1] [--json FILE]

EXPORTED: an artifact of `ifrkit export --from branches`, without --int8; its clips are found through its lineage. The
torch network that it was made from stands beside both graphs. All see the same labeled held-out frames, spread evenly,
in turns; medians of processor time, so that a busy machine matters little. mIoU is over these frames alone: `ifrkit
export --int8` judges by all of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from figures import Figures
from torch import Tensor

from ifrkit.artifacts.store import open_artifact
from ifrkit.core.machine import reuse_memory
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.scored import held_out
from ifrkit.evaluation.systems import frame_tensor, to_ids
from ifrkit.export.accuracy import feeds
from ifrkit.export.graphs import Branch
from ifrkit.export.int8 import quantise
from ifrkit.export.runtime import ExportedModel, open_graph
from ifrkit.metrics._confusion import confusion, iou, mean_present
from ifrkit.trained import load_branch


def main() -> None:
    """Print a line for each of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exported", type=Path)
    parser.add_argument("--branch", default="update")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--calibration", type=int, default=18)
    parser.add_argument("--threads", type=int, default=1)
    Figures.option(parser)
    args = parser.parse_args()
    reuse_memory()
    torch.set_num_threads(args.threads)
    figures, artifact = Figures(), open_artifact(args.exported, ("exported",))
    branches, clips = artifact.ancestor("branches"), artifact.ancestor("clips")
    assert branches is not None
    assert clips is not None
    store, path = ClipStore.of(clips), artifact.file(f"{args.branch}.onnx")
    exact, network = ExportedModel(open_graph(path), None), Branch(load_branch(branches, args.branch, "best"))
    with tempfile.TemporaryDirectory() as place, torch.inference_mode():
        target = Path(place, "int8.onnx")
        quantise(path, target, feeds(store, exact, args.calibration)["start"])
        integers = ExportedModel(open_graph(target), None)
        systems = {"torch": network.start, "float graph": exact.start, "int8 graph": integers.start}
        measure(store, systems, args.frames, figures)
    figures.write(args.json)


def measure(store: ClipStore, systems: Mapping[str, Callable[[Tensor], tuple[Tensor, object]]], count: int,
            figures: Figures) -> None:  # fmt: skip
    """Predict every frame by each system, and print what that took and how well it went."""
    places = held_out(store)
    places = [places[i * len(places) // count] for i in range(min(count, len(places)))]
    k = store.labels.num_classes
    counts = {name: np.zeros((k, k), np.int64) for name in systems}
    times: dict[str, list[float]] = {name: [] for name in systems}
    for clip, index in places:
        frame_13hw = frame_tensor(store, clip, index, torch.device("cpu"))
        label_hw = store.label(clip, index, hidden=True)
        for name, run in systems.items():
            begun = time.process_time()
            logits, _ = run(frame_13hw)
            times[name].append(time.process_time() - begun)
            counts[name] += confusion(label_hw, to_ids(logits, store.size), k)
    print(f"{store.name}, {len(places)} frames of {store.size[0]}x{store.size[1]}, {torch.get_num_threads()} threads")
    slowest = statistics.median(times["torch"])
    for name in systems:
        miou, median = mean_present(iou(counts[name])) or 0.0, statistics.median(times[name])
        print(f"{name:12} {1000 * median:7.1f} ms   least {1000 * min(times[name]):7.1f}   {slowest / median:5.2f} x   "
              f"mIoU {100 * miou:6.2f}")  # fmt: skip
        figures.add(name, smaller={"ms of processors": 1000 * median}, larger={"mIoU": 100 * miou})


if __name__ == "__main__":
    main()
