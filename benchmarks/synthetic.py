"""Synthetic video: frames with their labels per second of one core, scene building included.

    python benchmarks/synthetic.py [--rounds 7] [--videos 4] [--size 96 192] [--flow]

Counts processor time, so that a busy machine matters little. Every round makes new videos of ten frames (target: 100
frames/s at 96x192). Painting the texture library happens once a process and is shown apart. `--flow` adds exact
backward flow with its occlusion mask for every frame.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from figures import Figures

from data_prep.synthetic import Dataset


def main() -> None:
    """Print the median over rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--videos", type=int, default=4, help="videos a round")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 192), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--flow", action="store_true")
    Figures.option(parser)
    args = parser.parse_args()
    figures = Figures()
    options = {"train_videos": args.rounds * args.videos, "height": args.size[0], "width": args.size[1]}
    dataset = Dataset(Path(), Dataset.Config.of(options))
    clips = [clip for clip in dataset.clips() if clip.split == "train"]

    begin = time.process_time()
    dataset.frame(dataset.clips()[-1].frames[0])
    print(f"texture library and first frame: {time.process_time() - begin:.2f} s")

    rates = []
    for first in range(0, len(clips), args.videos):
        names = [name for clip in clips[first : first + args.videos] for name in clip.frames]
        begin = time.process_time()
        for name in names:
            dataset.frame(name)
            dataset.label(name)
            if args.flow:
                dataset.flow(name, backward=True)
        rates.append(len(names) / (time.process_time() - begin))
    what = "frames with labels and flow" if args.flow else "frames with labels"
    print(f"{what} at {args.size[0]}x{args.size[1]}, per second of one core, {len(rates)} rounds of {len(names)}:")
    print(f"  median {statistics.median(rates):.0f}, lowest {min(rates):.0f}, highest {max(rates):.0f}")
    figures.add(what, larger={"frames/s of a core": statistics.median(rates)})
    figures.write(args.json)


if __name__ == "__main__":
    main()
