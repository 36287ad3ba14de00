"""Video architectures beside each other: mIoU and TC of their reports, parameters, and time per frame on this machine.

    python benchmarks/architectures.py REPORT ... [--json FILE]

REPORT: made by eval with --distances, of one video model each.

Time: the median over a stream of one clip, a key frame each interval of the report, after a warm-up pass; one thread.
`mean` is that of an interval, `other` that of a frame that is not a key frame.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from figures import Figures
from rich.console import Console
from rich.table import Table

from ifrkit.artifacts.store import Artifact, open_artifact
from ifrkit.core.machine import reuse_memory
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import frame_tensor
from ifrkit.trained import load_branch, load_video_model

REPEATS = 5


def count(module: torch.nn.Module) -> int:
    """Parameters in all."""
    return sum(p.numel() for p in module.parameters())


@torch.inference_mode()
def timed(run: Any, store: ClipStore, clip: int) -> list[float]:
    """Milliseconds of `run(index, frame)` for each frame of a clip: the median over repeats."""
    frames = [frame_tensor(store, clip, i, torch.device("cpu")) for i in range(len(store.clips[clip].frames))]
    rows: list[list[float]] = []
    for _ in range(REPEATS + 1):
        rows.append([])
        for index, frame in enumerate(frames):
            start = time.perf_counter()
            run(index, frame)
            rows[-1].append(1000 * (time.perf_counter() - start))
    return [median(times) for times in zip(*rows[1:], strict=True)]


def stream(report: Artifact, interval: int) -> tuple[list[float], int]:
    """Times of the model's frames, and its parameters."""
    source = report.inputs()[0]
    model = load_video_model(source, "best").eval()
    store = ClipStore(open_artifact(_ancestor(source, "clips").path).path)
    state: list[Any] = [None]

    def run(index: int, frame: torch.Tensor) -> None:
        state[0] = (model.step(frame, state[0]) if index % interval else model.start(frame))[1]

    return timed(run, store, store.clips_of("val")[0]), count(model)


def alone(report: Artifact, branch: str) -> tuple[list[float], int]:
    """The same of a branch on every frame."""
    source = report.inputs()[0]
    network = load_branch(_ancestor(source, "branches"), branch, "best").eval()
    store = ClipStore(_ancestor(source, "clips").path)
    return timed(lambda _, frame: network(network.normalise(frame)), store, store.clips_of("val")[0]), count(network)


def _ancestor(artifact: Artifact, kind: str) -> Artifact:
    found = artifact.ancestor(kind)
    if found is None:
        raise SystemExit(f"{artifact.path} has no {kind} among its inputs")
    return found


def row(name: str, report: dict[str, Any], times: list[float], parameters: int) -> list[str]:
    """Accuracy, parameters and times of one system."""
    interval, systems = report["key_interval"], report["systems"]
    at = report["distances"]["systems"][name]["at"]
    other = [t for i, t in enumerate(times) if i % interval]
    whole = times[: len(times) // interval * interval] or times
    return [
        *(f"{100 * systems[name][m][m]:.1f}" for m in ("miou", "tc")),
        *(f"{100 * value:.1f}" for value in at),
        f"{parameters / 1e6:.2f}",
        f"{sum(whole) / len(whole):.1f}",
        f"{median(other):.1f}",
    ]


def main() -> None:
    """One table of all reports, the free baselines once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", type=Path)
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    reuse_memory()
    torch.set_num_threads(1)
    table = Table()
    seen: set[str] = set()
    for path in args.reports:
        artifact = open_artifact(path)
        report = json.loads(artifact.file("report.json").read_text())
        interval, names = report["key_interval"], list(report["systems"])
        if not table.columns:
            distances = range(len(report["distances"]["systems"][names[0]]["at"]))
            for title in ("", "mIoU", "TC", *(f"d={d}" for d in distances), "M parameters", "ms mean", "ms other"):
                table.add_column(title, no_wrap=True)
        ssl = report["model"]["settings"]["video-model"]["ssl"]
        times, parameters = stream(artifact, interval)
        label = names[0] if ssl == "none" else f"{names[0]}, {ssl}"
        table.add_row(label, *row(names[0], report, times, parameters))
        accuracy = {metric: 100 * report["systems"][names[0]][metric][metric] for metric in ("miou", "tc")}
        figures.add(label, larger=accuracy, smaller={"ms a frame": sum(times) / len(times)})
        for name in names[1:]:
            if name in seen:
                continue
            seen.add(name)
            times, parameters = alone(artifact, "update" if name.startswith("update") else "reference")
            if name.startswith("key"):
                times = [t if i % interval == 0 else 0.0 for i, t in enumerate(times)]
            table.add_row(name, *row(name, report, times, parameters))
    Console(width=200).print(table)
    figures.write(args.json)


if __name__ == "__main__":
    main()
