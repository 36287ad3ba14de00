"""IFR training samples per second of one core: from the clip store, and from PNG files as the released code reads them.

    python benchmarks/loader.py [--rounds 9] [--samples 12] [--videos 6] [--frames 6] [--size 512 1024] [--crop 256 512]
                                [--json FILE]

Writes street frames as PNG files and prepares a clip store from these very files. A sample is two frames of a labeled
clip, the label, and two frames of another clip. The baseline decodes the four whole frames with OpenCV, crops and flips
them, distorts copies of two and normalises all six, as the released code does for every sample. The store reads the
crops and flips; distortion and normalisation are the device's work, so the second figure adds them, done on this core.
Counts processor time of one thread, alternates between the three within a round, and prints medians over the rounds
(target: at least 25 times the baseline). All files are in the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from figures import Figures
from numpy.typing import NDArray

from data_prep.synthetic import Dataset
from ifrkit.config.prepare import PrepareConfig
from ifrkit.config.training import CropConfig
from ifrkit.core.records import IGNORE
from ifrkit.data.loading.loader import to_device, view_batches
from ifrkit.data.loading.pools import Clips
from ifrkit.data.loading.stream import Span
from ifrkit.data.loading.views import View
from ifrkit.data.store.clips import ClipStore
from ifrkit.methods.ifr import Method
from ifrkit.models.normalisation import IMAGENET
from ifrkit.stages.prepare import STAGE
from ifrkit.stages.runner import Run, execute
from ifrkit.train.chosen import merged_views

Image = NDArray[Any]
"""(h, w, 3) BGR or (h, w) uint8."""


def main() -> None:
    """Print the three medians and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=12, help="samples of each kind a round")
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--frames", type=int, default=6, help="frames of a video")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--crop", type=int, nargs=2, default=(256, 512), metavar=("HEIGHT", "WIDTH"))
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    crop = CropConfig(size=tuple(args.crop))
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        videos = write_videos(root / "data", args.videos, args.frames, tuple(args.size))
        config = PrepareConfig.of({"dataset": "folders", "root": str(root / "data"), "options": {"val_fraction": 0}})
        clips = execute(STAGE, config, Run(workspace=root / "artifacts", inputs=[]))
        store = ClipStore(clips.path)
        views = merged_views({"ifr": Method(Method.Config())})
        readers: dict[str, Callable[[int, int], None]] = {
            "PNG files, as released": lambda start, count: from_files(videos, crop, start, count),
            "store, to the device": lambda start, count: from_store(store, views, crop, start, count, False),
            "store, distorted and normalised": lambda start, count: from_store(store, views, crop, start, count, True),
        }
        rates = measure(readers, args.rounds, args.samples)
    report(rates, figures)
    figures.write(args.json)


def write_videos(root: Path, videos: int, frames: int, size: tuple[int, int]) -> list[list[tuple[Path, Path]]]:
    """Street videos in the `folders` layout: (frame, label of the last frame) files of each video."""
    options = {"train_videos": videos, "val_videos": 0, "clip_length": frames, "height": size[0], "width": size[1]}
    dataset = Dataset(Path(), Dataset.Config.of(options))
    written, sizes = [], []
    for clip in dataset.clips():
        folder, labels = root / "frames" / clip.video, root / "labels" / clip.video
        folder.mkdir(parents=True)
        labels.mkdir(parents=True)
        label = labels / f"{frames - 1:06d}.png"
        paths = []
        for number, name in enumerate(clip.frames):
            paths.append((folder / f"{number:06d}.png", label))
            cv2.imwrite(str(paths[-1][0]), dataset.frame(name)[:, :, ::-1])
            sizes.append(paths[-1][0].stat().st_size)
        cv2.imwrite(str(label), dataset.label(clip.frames[-1]))
        written.append(paths)
    print(f"{len(sizes)} frames at {size[0]}x{size[1]}, median {statistics.median(sizes) / 1e6:.2f} MB as PNG")
    return written


def from_store(store: ClipStore, views: Sequence[View], crop: CropConfig, start: int, count: int, ready: bool) -> None:
    """Samples from the clip store, one a batch. ready: with distortion and normalisation."""
    clips = store.clips_of("train")
    batches = view_batches(Clips(store, clips, clips), views, crop, Span(1, 0, start, start + count))
    for raw in islice(batches, count):
        if ready:
            to_device(raw, views, "cpu", IMAGENET)


def from_files(videos: list[list[tuple[Path, Path]]], crop: CropConfig, start: int, count: int) -> None:
    """Samples from whole PNG frames: decode, crop, flip, distort two copies, normalise six."""
    for number in range(start, start + count):
        rng = np.random.default_rng(number)
        labeled, other = (videos[i] for i in rng.integers(len(videos), size=2))
        pairs = [
            [labeled[-1], labeled[rng.integers(len(labeled) - 1)]],
            [other[i] for i in rng.permutation(len(other))[:2]],
        ]
        for pair, is_labeled in zip(pairs, (True, False), strict=True):
            frames = [decoded(frame, cv2.IMREAD_COLOR) for frame, _ in pair]
            label = decoded(pair[0][1], cv2.IMREAD_UNCHANGED) if is_labeled else None
            y, x = window(rng, frames[0].shape[:2], crop, label)
            cut = (slice(y, y + crop.size[0]), slice(x, x + crop.size[1]))
            views = [cv2.flip(frame[cut], 1) if rng.random() < 0.5 else frame[cut] for frame in frames]
            views.append(distorted(views[1], rng))
            for view in views:
                np.ascontiguousarray(normalised(view).transpose(2, 0, 1))
            if label is not None:
                np.ascontiguousarray(label[cut]).astype(np.int64)


def decoded(path: Path, flags: int) -> Image:
    """A whole image file."""
    image = cv2.imread(str(path), flags)
    assert image is not None
    return image


def window(rng: np.random.Generator, size: tuple[int, int], crop: CropConfig, label: Image | None) -> tuple[int, int]:
    """A corner; with a label, drawn again while one class fills the crop."""
    for _ in range(crop.tries + 1):
        y, x = (int(rng.integers(whole - part + 1)) for whole, part in zip(size, crop.size, strict=True))
        if label is None:
            break
        ids, counts = np.unique(label[y : y + crop.size[0], x : x + crop.size[1]], return_counts=True)
        counts = counts[ids != IGNORE]
        if len(counts) > 1 and counts.max() / counts.sum() < crop.max_class_share:
            break
    return y, x


def distorted(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, saturation, hue of a BGR image, each with probability one half, in 8 bits."""

    def scaled(pixels: Image, factor: float, offset: float = 0.0) -> Image:
        return np.asarray(np.clip(pixels.astype(np.float32) * factor + offset, 0, 255), np.uint8)

    contrast_first = rng.random() < 0.5
    if rng.random() < 0.5:
        image = scaled(image, 1, rng.uniform(-32, 32))
    if contrast_first and rng.random() < 0.5:
        image = scaled(image, rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[:, :, 1] = scaled(hsv[:, :, 1], rng.uniform(0.5, 1.5))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + rng.integers(-18, 18)) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if not contrast_first and rng.random() < 0.5:
        image = scaled(image, rng.uniform(0.5, 1.5))
    return image


def normalised(image: Image) -> NDArray[np.float32]:
    """BGR uint8 to normalised RGB float32."""
    rgb = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2RGB)
    cv2.subtract(rgb, np.array([*IMAGENET.mean, 0.0]), rgb)
    cv2.multiply(rgb, np.array([*(1 / np.array(IMAGENET.std)), 0.0]), rgb)
    return np.asarray(rgb, np.float32)


def measure(readers: dict[str, Callable[[int, int], None]], rounds: int, samples: int) -> dict[str, list[float]]:
    """Samples per second of processor time, by reader and round; one more round before warms everything up."""
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for name, read in readers.items():
            begin = time.process_time()
            read(turn * samples, samples)
            if turn:
                rates[name].append(samples / (time.process_time() - begin))
    return rates


def report(rates: dict[str, list[float]], figures: Figures) -> None:
    """A line for each reader, with its ratio to the first one."""
    base = statistics.median(next(iter(rates.values())))
    print(f"samples per second of one core, median of {len(next(iter(rates.values())))} rounds (lowest, highest):")
    for name, values in rates.items():
        median = statistics.median(values)
        figures.add(name, larger={"samples/s of a core": median, "x the released loader": median / base})
        print(f"  {name:<32} {median:7.1f}  ({min(values):.1f}, {max(values):.1f})  {median / base:5.1f} x")


if __name__ == "__main__":
    main()
