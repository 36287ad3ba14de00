"""Peak memory of `prepare` and `train-branches`, worker processes included, for few clips and for many.

    python benchmarks/memory.py [--clips 64 512] [--frames 4] [--size 256 512] [--steps 4]

Makes a dataset of PNG frames in the `folders` layout, runs the executables, and adds up the memory of all their
processes from /proc (Linux) every 50 ms. "own" is what only these processes hold (heap, shared memory); "mapped" is
pages of files, mostly of the store and of shared libraries, which the system takes back when it needs them. Pages that
several processes share count once. Target: `prepare` holds less than 1 GiB, however many clips there are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from figures import Figures
from PIL import Image

CLASSES = 8
PICTURES = 16
MIB = 1 << 20


class Peak(NamedTuple):
    """Bytes of a process and all its descendants at their highest, and how long it ran, in seconds."""

    own: int
    mapped: int
    processes: int
    seconds: float


def main() -> None:
    """Run both stages for every number of clips and print the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=(64, 512))
    parser.add_argument("--frames", type=int, default=4, help="frames of a clip")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 512), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--steps", type=int, default=4, help="training steps")
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    height, width = args.size
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for clips in args.clips:
            root, workspace = work / f"data-{clips}", work / f"artifacts-{clips}"
            make_dataset(root, clips, args.frames, (height, width))
            stored = clips * args.frames * height * width * 3
            print(f"{clips} clips of {args.frames} frames at {height}x{width} ({stored // MIB} MiB of pixels):")
            stages = {"prepare": ["folders", "--root", str(root)], "train-branches": training(args)}
            for stage, words in stages.items():
                peak = measure([stage, *words, "--workspace", str(workspace)])
                show(stage, peak)
                figures.add(f"{stage}, {clips} clips", smaller={"MiB": peak.own / MIB, "s": peak.seconds})
    figures.write(args.json)


def training(args: argparse.Namespace) -> list[str]:
    """IFR with a small network, two labeled clips a step, crops of half the size, two loader processes."""
    crop = f"crop.size=[{args.size[0] // 2},{args.size[1] // 2}]"
    values = [crop, "update.width=0.125", "loop.batch=2", "runtime.workers=2", f"loop.eval_every={args.steps}"]
    options = [word for value in values for word in ("--set", value)]
    return ["--from", "clips", "--ssl", "ifr", "--branch", "update", "--steps", str(args.steps), *options]


def make_dataset(root: Path, clips: int, frames: int, size: tuple[int, int]) -> None:
    """A directory a clip, one label each. A few pictures, linked again and again: making them is not measured."""
    rng = np.random.default_rng(0)
    height, width = size
    pictures = root / "pictures"
    pictures.mkdir(parents=True)
    for number in range(PICTURES):
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3)).astype(np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + rng.integers(-8, 9, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(pictures / f"{number}.png", compress_level=1)
    ids = np.arange(width) * CLASSES // width
    Image.fromarray(np.tile(ids.astype(np.uint8), (height, 1))).save(pictures / "label.png")
    for clip in range(clips):
        video = root / "frames" / f"video{clip:05d}"
        labels = root / "labels" / video.name
        video.mkdir(parents=True)
        labels.mkdir(parents=True)
        for frame in range(frames):
            os.link(pictures / f"{(clip + frame) % PICTURES}.png", video / f"{frame:06d}.png")
        os.link(pictures / "label.png", labels / f"{frames - 1:06d}.png")


def measure(arguments: list[str]) -> Peak:
    """Run an ifrkit stage and watch it. Exits with its message if it fails."""
    with tempfile.TemporaryFile("w+") as log:
        begin = time.monotonic()
        command = [sys.executable, "-m", "ifrkit", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        samples: list[tuple[int, int, int]] = []
        watcher = threading.Thread(target=watch, args=(process, samples))
        watcher.start()
        failed = process.wait()
        watcher.join()
        if failed:
            log.seek(0)
            sys.exit(f"ifrkit {arguments[0]} failed:\n{log.read()[-2000:]}")
    own, mapped, processes = (max(column) for column in zip(*samples, strict=True))
    return Peak(own, mapped, processes, time.monotonic() - begin)


def watch(process: subprocess.Popen[bytes], samples: list[tuple[int, int, int]]) -> None:
    """Append (own bytes, mapped bytes, processes) of the process's whole tree until it ends."""
    while process.poll() is None:
        parts = [memory(pid) for pid in tree(process.pid)]
        samples.append((sum(p[0] for p in parts), sum(p[1] for p in parts), len(parts)))
        time.sleep(0.05)


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    try:
        children = [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except OSError:  # it ended meanwhile
        return []
    return [pid, *(descendant for child in children for descendant in tree(child))]


def memory(pid: int) -> tuple[int, int]:
    """A process's share of its memory: its own pages, and pages of files. Nothing if it ended meanwhile."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0, 0
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (kib["Pss_Anon"] + kib["Pss_Shmem"]) << 10, kib["Pss_File"] << 10


def show(stage: str, peak: Peak) -> None:
    """One line of the result."""
    print(
        f"  {stage:<15} peak {peak.own // MIB:5d} MiB own, {peak.mapped // MIB:5d} MiB mapped, "
        f"{peak.processes} processes, {peak.seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
