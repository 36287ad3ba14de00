"""Time and memory of prepare, propagate and predict over the length of a video, which doubles.

    python benchmarks/scale.py [--frames 250] [--doublings 4] [--size 48 96] [--fps 25] [--json FILE]

The practice street, one video of so many frames: `prepare synthetic` makes it while it stores it, `predict` reads the
same street out of a file that is written frame by frame. `propagate --from clips` carries the label of every 25th frame
along DIS flow. The networks of `predict` are those of recipe `tiny` after one step. Peak memory is what all processes
of a stage hold alone, as in benchmarks/memory.py; times are of the processor. A line is fitted to both: what a thousand
frames more cost, and how far the measured times are from the line. `--hours`: the time that the line tells of a video
of so many hours at `--fps`, an extrapolation wherever that is longer than what was measured. Memory is not
extrapolated: queues that fill up look like growth in short videos.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from figures import Figures
from memory import MIB, Peak, measure

from data_prep.synthetic import Dataset

CLIP = 25
"""Frames of a clip, with one label."""


def street(frames: int, size: tuple[int, int]) -> list[str]:
    """What `prepare` is told: one training street of this length, one clip to validate on."""
    options = {"train_videos": 1, "val_videos": 1, "clip_length": CLIP, "clips_per_video": frames // CLIP}
    options |= {"annotated": CLIP // 2, "height": size[0], "width": size[1]}
    return [word for key, value in options.items() for word in ("--set", f"options.{key}={value}")]


def write_video(path: Path, frames: int, size: tuple[int, int], fps: float) -> None:
    """The same street as a file."""
    options = {"train_videos": 1, "val_videos": 0, "clip_length": CLIP, "clips_per_video": frames // CLIP}
    dataset = Dataset(Path(), Dataset.Config.model_validate(options | {"height": size[0], "width": size[1]}))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size[::-1])
    names = (name for clip in dataset.clips() for name in clip.frames)
    for name in islice(names, frames):
        writer.write(np.ascontiguousarray(dataset.frame(name)[:, :, ::-1]))
    writer.release()


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
    """All three stages at one length. What they made is removed: the disk need not hold all lengths."""
    size = (args.size[0], args.size[1])
    here = work / str(frames)
    where = ["--workspace", str(here)]
    found = {"prepare": spent(["prepare", "synthetic", *street(frames, size), *where])}
    found["propagate"] = spent(["propagate", "--from", "clips", "--threads", "1", *where])
    video = here / "street.mp4"
    write_video(video, frames, size, args.fps)
    found["predict"] = spent(["predict", str(video), "--from", str(work / "branches"), "--threads", "1", *where])
    shutil.rmtree(here)
    return found


def line(frames: list[int], values: list[float]) -> tuple[float, float, float]:
    """(at no frames, for 1000 frames, largest distance from it as a share of the largest value)."""
    slope, start = np.polyfit(frames, values, 1)
    away = np.abs(np.polyval((slope, start), frames) - values).max() / max(values)
    return float(start), float(1000 * slope), float(away)


def main() -> None:
    """Measure each length, print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=250, help=f"of the shortest video, a multiple of {CLIP}")
    parser.add_argument("--doublings", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=2, default=(48, 96), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--fps", type=float, default=25)
    parser.add_argument("--hours", type=float, default=10)
    Figures.option(parser)
    args = parser.parse_args()
    if args.frames % CLIP or args.doublings < 2:
        parser.error(f"--frames: a multiple of {CLIP}; --doublings: at least 2, for a line")
    lengths, figures = [args.frames << i for i in range(args.doublings + 1)], Figures()
    found: list[dict[str, Peak]] = []
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        small = street(2 * CLIP, (args.size[0], args.size[1]))
        clips = made("prepare", "synthetic", *small, "--out", str(work / "clips"))
        crop = f"crop.size=[{args.size[0] // 16 * 8},{args.size[1] // 16 * 8}]"
        words = ("--recipe", "tiny", "--ssl", "none", "--steps", "1", "--set", "loop.batch=2", "--set", crop)
        made("train-branches", "--from", clips, *words, "--set", "labeled.count=2", "--out", str(work / "branches"))
        print("| frames | stage | s | MiB | processes |\n|---|---|---|---|---|")
        for frames in lengths:
            found.append(length(frames, args, work))
            for stage, peak in found[-1].items():
                numbers = f"{peak.seconds:.1f} | {peak.own / MIB:.0f} | {peak.processes}"
                print(f"| {frames} | {stage} | {numbers} |", flush=True)
    wanted = args.hours * 3600 * args.fps
    print(f"\n| stage | s a 1000 frames | off the line | {args.hours:g} h, s | MiB, first | last | a 1000 frames |")
    print("|---|---|---|---|---|---|---|")
    for stage in found[0]:
        seconds = line(lengths, [peaks[stage].seconds for peaks in found])
        memory = line(lengths, [peaks[stage].own / MIB for peaks in found])
        ahead = seconds[0] + seconds[1] * wanted / 1000
        peaks_mib = " | ".join(f"{peaks[stage].own / MIB:.0f}" for peaks in (found[0], found[-1]))
        numbers = f"{seconds[1]:.2f} | {100 * seconds[2]:.1f} % | {ahead:.0f}"
        print(f"| {stage} | {numbers} | {peaks_mib} | {memory[1]:.2f} |")
        figures.add(stage, smaller={"s a 1000 frames": seconds[1], "MiB of the longest": found[-1][stage].own / MIB})
    figures.write(args.json)


if __name__ == "__main__":
    main()
