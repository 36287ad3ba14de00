"""`ifrkit predict`: frames a second of Accel at several key intervals, beside the reference branch on every frame.

    python benchmarks/predict.py [--threads 1] [--size 128 256] [--frames 40] [--rounds 3] [--device cpu] [--tiny]
    python benchmarks/predict.py --policy MODEL      a video-model artifact of synthetic streets

The first form runs the whole stage on an mp4: decode, networks, label PNGs and overlay. Networks have the published
widths (ResNet-101, ResNet-18, FlowNetS 3/8) unless --tiny, and were trained for one step, which changes no timing.
Rounds go through all variants, so that a busy machine slows all; medians are compared, and the best of all rounds
stands beside them, which other programs disturb least. "outside" is the share of the time in which no network ran
(target: at most 10 %).

The second form measures adaptive key frames against fixed intervals at an equal share of key frames, on streets that
go on and on streets that are cut every 8 frames or so: mIoU and pixel accuracy over all frames.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from figures import Figures
from numpy.typing import NDArray

from data_prep.synthetic import Dataset
from ifrkit.artifacts.store import Artifact, open_artifact
from ifrkit.config.predict import PredictConfig
from ifrkit.config.prepare import PrepareConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.core.config import Config
from ifrkit.core.machine import reuse_memory
from ifrkit.core.records import Frame, Label
from ifrkit.core.stage import Stage
from ifrkit.predict.streaming import Adaptive, Fixed, Policy, Predictor
from ifrkit.stages import predict, prepare, train_branches, train_fusion
from ifrkit.stages.runner import Run, execute
from ifrkit.trained import load_video_model

INTERVALS = (1, 2, 5, 10)
Video = list[tuple[Frame, Label]]


def streets(count: int, length: int, size: tuple[int, int] = (96, 192)) -> list[Video]:
    """Videos of the synthetic test split, with their labels."""
    options = {"test_videos": count, "clip_length": length, "height": size[0], "width": size[1]}
    dataset = Dataset(Path(), Dataset.Config.of(options), 11)
    clips = [clip for clip in dataset.clips() if clip.split == "test"]
    return [[(dataset.frame(name), dataset.label(name)) for name in clip.frames] for clip in clips]


def cut(videos: list[Video], mean: int) -> list[Video]:
    """All videos as one, cut into shots of 3 to about 2 * mean frames, shuffled."""
    rng, frames, shots = np.random.default_rng(0), [item for video in videos for item in video], []
    while frames:
        length = int(rng.integers(3, 2 * mean))
        shots.append(frames[:length])
        frames = frames[length:]
    return [[item for i in rng.permutation(len(shots)) for item in shots[i]]]


def models(workspace: Path, tiny: bool, device: str) -> tuple[Artifact, Artifact]:
    """Branches and a video model after one step on a small crop."""

    def made(stage: Stage, config: Config, *inputs: Artifact) -> Artifact:
        return execute(stage, config, Run(workspace=workspace, inputs=[*inputs], device=device))

    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    shared: dict[str, Any] = {"loop": loop, "runtime": {"workers": 0}}
    options = {"train_videos": 2, "val_videos": 1, "clip_length": 5, "height": 64, "width": 64}
    clips = made(prepare.STAGE, PrepareConfig.of({"dataset": "synthetic", "options": options}))
    widths = {"update": {"width": 0.25}, "reference": {"backbone": "resnet18", "width": 0.375}} if tiny else {}
    config = {"ssl": "none", "crop": {"size": (64, 64)}, **widths, **shared}
    branches = made(train_branches.STAGE, TrainBranchesConfig.of(config), clips)
    pretrain = {"width": 0.1875 if tiny else 0.375, "crop": (64, 64), "loop": loop}
    fusion = TrainFusionConfig.of({"crop": (64, 64), "pretrain": pretrain, **shared})
    return branches, made(train_fusion.STAGE, fusion, branches)


def speed(args: argparse.Namespace, figures: Figures) -> None:
    """Print a line for each variant."""
    with tempfile.TemporaryDirectory() as place:
        workspace, size = Path(place), (args.size[0], args.size[1])
        branches, model = models(workspace, args.tiny, args.device)
        path = workspace / "street.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, size[::-1])
        frames = [frame for frame, _ in streets(1, min(args.frames, 40), size)[0]]
        for index in range(args.frames):  # there and back again
            turn = index % (2 * len(frames))
            writer.write(frames[min(turn, 2 * len(frames) - 1 - turn)][:, :, ::-1].copy())
        writer.release()
        variants: dict[str, tuple[Artifact, dict[str, Any]]] = {"reference, every frame": (branches, {})}
        variants |= {f"accel, interval {n}": (model, {"key_interval": n}) for n in INTERVALS}
        variants["accel, adaptive"] = (model, {"key_policy": "adaptive"})
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
        for _ in range(args.rounds + 1):  # the first one warms up
            for name, (source, changes) in variants.items():
                config = PredictConfig.of({"videos": [str(path)], "size": "own", **changes})
                done = execute(
                    predict.STAGE, config, Run(workspace=workspace, inputs=[source], force=True, device=args.device)
                )
                found[name].append(dict(done.manifest.metrics))
    what = "tiny" if args.tiny else "published"
    print(f"torch {torch.__version__}, {args.device}, {torch.get_num_threads()} threads, {what} networks, "
          f"{args.frames} frames of {size[0]}x{size[1]}, medians of {args.rounds} rounds")  # fmt: skip
    base = _median(found["reference, every frame"], "frames_per_second")
    for name, results in found.items():
        rate, outside = (_median(results, key) for key in ("frames_per_second", "outside_networks"))
        best = max(result["frames_per_second"] for result in results)
        share = results[0]["key_frames"] / results[0]["frames"]
        figures.add(name, larger={"frames/s": rate, "x reference": rate / base}, smaller={"share outside": outside})
        print(f"{name:24} {rate:8.2f} frames/s   {rate / base:5.2f} x   best {best:8.2f}   "
              f"outside {100 * outside:4.1f} %   key frames {100 * share:3.0f} %")  # fmt: skip


def _median(results: list[dict[str, Any]], key: str) -> float:
    return float(statistics.median(result[key] for result in results[1:]))


def policies(args: argparse.Namespace, figures: Figures) -> None:
    """Print a table for streets that go on, and one for streets that are cut."""
    model = load_video_model(open_artifact(Path(args.policy), ("video-model",)), "best").to(args.device)

    def score(videos: list[Video], policy: Callable[[], Policy]) -> tuple[float, float, float]:
        """Share of key frames, mIoU and pixel accuracy."""
        classes, keys, count = model.num_classes, 0, 0
        matrix: NDArray[np.int64] = np.zeros((classes, classes), np.int64)
        for video in videos:
            predictor = Predictor(model, policy(), torch.device(args.device))
            for frame, label in video:
                ids, key = predictor(frame, label.shape)
                seen = label < classes
                pairs = label[seen].astype(int) * classes + ids[seen]
                matrix += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
                keys, count = keys + key, count + 1
        right = np.diag(matrix)
        union = matrix.sum(0) + matrix.sum(1) - right
        return keys / count, float(np.mean(right[union > 0] / union[union > 0])), float(right.sum() / matrix.sum())

    whole = streets(args.videos, args.length)
    for title, videos in (("going on", whole), ("cut every 8 frames or so", cut(whole, 8))):
        print(f"{args.videos} streets of {args.length} frames, {title}")
        fixed = sorted(score(videos, lambda n=n: Fixed(n)) for n in (1, 2, 3, 5, 8, 12, 30))  # type: ignore[misc]
        for line in _lines(fixed, "fixed"):
            print(line)
        for threshold in (0.2, 0.3, 0.4, 0.5, 0.6):
            share, miou, accuracy = score(videos, lambda t=threshold: Adaptive(model.flow, t))  # type: ignore[misc]
            shares = [row[0] for row in fixed]
            there = [np.interp(share, shares, [row[i] for row in fixed]) for i in (1, 2)]
            gain = f"   against fixed {100 * (miou - there[0]):+5.2f} {100 * (accuracy - there[1]):+5.2f}"
            (line,) = _lines([(share, miou, accuracy)], f"adaptive {threshold}")
            print(line + gain, flush=True)
            figures.add(f"adaptive {threshold}, {title}", larger={"mIoU": 100 * miou}, smaller={"key frames": share})


def _lines(rows: list[tuple[float, float, float]], name: str) -> Iterator[str]:
    for share, miou, accuracy in rows:
        yield f"  {name:14} key frames {100 * share:5.1f} %   mIoU {100 * miou:5.2f}   accuracy {100 * accuracy:5.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", type=int, nargs=2, default=(128, 256), metavar=("H", "W"))
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3, help="one more warms up")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--policy", metavar="MODEL")
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--length", type=int, default=30)
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    reuse_memory()
    torch.set_num_threads(args.threads)
    if args.policy:
        policies(args, figures)
    else:
        speed(args, figures)
    figures.write(args.json)


if __name__ == "__main__":
    main()
