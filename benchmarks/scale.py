"""Time and memory of prepare, propagate and predict over the length of one video file.

    python benchmarks/scale.py [--frames 500 1000 2000 4000] [--size 48 96] [--fps 25] [--only STAGE ...] [--json FILE]

The video is the practice street, 250 frames of it, forth and back as often as it takes: it is written frame by frame
and costs little to make. Every 25th frame has a label. `prepare folders` reads it, `propagate --from clips` carries the
labels along DIS flow, `predict` segments the same file with the update branch of recipe `tiny` after one step. Peak
memory is what all processes of a stage hold alone, as in benchmarks/memory.py; times are of the processor. A line is
fitted to both: what a thousand frames more cost, how far the measured times are from it, and how many bytes each frame
more holds.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from figures import Figures
from memory import MIB, Peak, measure

from data_prep.synthetic import Dataset
from ifrkit.media.images import save_label
from ifrkit.media.palette import id_colors

CLIP = 25
"""Frames of a clip, with one label."""
STREET = 250
"""Frames that are drawn."""
STAGES = ("prepare", "propagate", "predict")


def write_project(root: Path, frames: int, size: tuple[int, int], fps: float) -> Path:
    """A project of `prepare folders` with one video. Returns the video."""
    options = {"train_videos": 1, "val_videos": 0, "clip_length": STREET, "height": size[0], "width": size[1]}
    street = Dataset(Path(), Dataset.Config.of(options))
    names = [name for clip in street.clips() for name in clip.frames]
    space = street.label_space()
    (root / "frames").mkdir(parents=True)
    (root / "labels").mkdir()
    path = root / "frames" / "street.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size[::-1])
    pictures = [np.ascontiguousarray(street.frame(name)[:, :, ::-1]) for name in names]
    for number in range(frames):
        shown = forth_and_back(number)
        writer.write(pictures[shown])
        if number % CLIP == CLIP // 2:
            save_label(root / "labels" / f"street_{number:06}.png", street.label(names[shown]), id_colors(space))
    writer.release()
    colors = dict(zip(space.names, map(list, space.colors), strict=True))
    (root / "classes.yaml").write_text(json.dumps({"classes": colors}))  # JSON is YAML
    return path


def forth_and_back(number: int) -> int:
    """Which frame of the street the video shows."""
    place = number % (2 * STREET - 2)
    return min(place, 2 * STREET - 2 - place)


def made(*words: str) -> str:
    """The artifact that a stage makes."""
    command = [sys.executable, "-m", "ifrkit", *words, "-q"]
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout.strip()


def spent(arguments: list[str]) -> Peak:
    """As `measure`, with processor time instead of time on the wall."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = measure(arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return peak._replace(seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def length(frames: int, args: argparse.Namespace, work: Path) -> dict[str, Peak]:
    """The stages at one length. What they made is removed: the disk need not hold all lengths."""
    here = work / str(frames)
    where = ["--workspace", str(here / "artifacts")]
    video = write_project(here, frames, (args.size[0], args.size[1]), args.fps)
    options = ["--set", f"options.clip_length={CLIP}"]
    branch = ["--from", str(work / "branches"), "--branch", "update"]
    words = {
        "prepare": ["prepare", "folders", "--root", str(here), *options, *where],
        "propagate": ["propagate", "--from", "clips", "--threads", "1", *where],
        "predict": ["predict", str(video), *branch, "--threads", "1", *where],
    }
    if "propagate" in args.only and "prepare" not in args.only:
        made(*words["prepare"])
    found = {stage: spent(own) for stage, own in words.items() if stage in args.only}
    shutil.rmtree(here)
    return found


def train(args: argparse.Namespace, work: Path) -> None:
    """The networks of `predict`."""
    write_project(work / "small", 4 * CLIP, (args.size[0], args.size[1]), args.fps)
    clips = made("prepare", "folders", "--root", str(work / "small"), "--out", str(work / "clips"))
    crop = f"crop.size=[{args.size[0] // 16 * 8},{args.size[1] // 16 * 8}]"
    words = ("--recipe", "tiny", "--ssl", "none", "--branch", "update", "--steps", "1", "--set", "loop.batch=2")
    made("train-branches", "--from", clips, *words, "--set", crop, "--out", str(work / "branches"))


def line(frames: list[int], values: list[float]) -> tuple[float, float, float]:
    """(at no frames, for 1000 frames, largest distance from it as a share of the largest value)."""
    slope, start = np.polyfit(frames, values, 1)
    away = np.abs(np.polyval((slope, start), frames) - values).max() / max(values)
    return float(start), float(1000 * slope), float(away)


def main() -> None:
    """Measure each length, print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=(500, 1000, 2000, 4000))
    parser.add_argument("--size", type=int, nargs=2, default=(48, 96), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--only", choices=STAGES, nargs="+", default=STAGES, help="stages to measure")
    Figures.option(parser)
    args = parser.parse_args()
    if len(args.frames) < 3:
        parser.error("--frames: at least 3 lengths, for a line")
    figures, found = Figures(), list[dict[str, Peak]]()
    with tempfile.TemporaryDirectory() as place:
        if "predict" in args.only:
            train(args, Path(place))
        print("| frames | stage | s | MiB | processes |\n|---|---|---|---|---|")
        for frames in args.frames:
            found.append(length(frames, args, Path(place)))
            for stage, peak in found[-1].items():
                numbers = f"{peak.seconds:.1f} | {peak.own / MIB:.1f} | {peak.processes}"
                print(f"| {frames} | {stage} | {numbers} |", flush=True)
    print("\n| stage | s a 1000 frames | off the line | MiB, first | last | bytes a frame |\n|---|---|---|---|---|---|")
    for stage in found[0]:
        seconds = line(args.frames, [peaks[stage].seconds for peaks in found])
        memory = line(args.frames, [float(peaks[stage].own) for peaks in found])
        peaks_mib = " | ".join(f"{peaks[stage].own / MIB:.1f}" for peaks in (found[0], found[-1]))
        print(f"| {stage} | {seconds[1]:.2f} | {100 * seconds[2]:.1f} % | {peaks_mib} | {memory[1] / 1000:.0f} |")
        figures.add(stage, smaller={"s a 1000 frames": seconds[1], "MiB of the longest": found[-1][stage].own / MIB})
    figures.write(args.json)


if __name__ == "__main__":
    main()
