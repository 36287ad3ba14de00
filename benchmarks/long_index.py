"""Memory and time that a long video takes besides its pixels: its index, its order, and where its labels come from.

    python benchmarks/long_index.py [--frames 54000 270000 1080000] [--clip 25] [--files 9000 36000] [--json FILE]

1,080,000 frames are ten hours at 30 a second. No pixels are made: the index `clips.json` of a store is written, and a
process of its own opens it (`ClipStore`), puts its frames in order as `propagate` does (`chains`), and writes what
`propagate` writes of each frame (`pseudo.json`, `provenance.json`). Peak is of the whole process, after each of the
three; held is what is left after opening and ordering. Times are of the processor.

Then the list of an artifact of so many label images (`--files`, empty ones): a process commits it, checks it, and looks
for its last file. 36,000 files are ten hours at one frame a second.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from figures import Figures

from ifrkit.annotate.chains import Chain, chains
from ifrkit.artifacts import store
from ifrkit.artifacts.indexes import write_long
from ifrkit.artifacts.manifest import Manifest
from ifrkit.data.store.clips import ClipStore

PART = 256
"""Frames that are written at a time, as in `propagate`."""
FILE = 4096
"""Frames of a file of the store."""
KIB, MIB = 1 << 10, 1 << 20


def write_index(directory: Path, frames: int, length: int) -> None:
    """An index of one video: clips of `length` frames, each with one label."""
    head = {"name": "long", "size": [48, 96], "codec": "raw", "has_flow": False}
    labels = {"names": ["road", "sky"], "colors": [[128, 64, 128], [70, 130, 180]]}
    clips = (_clip(begin, min(length, frames - begin)) for begin in range(0, frames, length))
    files = (
        {"name": f"frames-{n:05d}.h5", "frames": [_name(i) for i in range(begin, min(begin + FILE, frames))]}
        for n, begin in enumerate(range(0, frames, FILE))
    )
    tree = {**head, "labels": labels, "clips": ([c] for c in clips), "files": ([f] for f in files), "histogram": {}}
    write_long(directory / "clips.json", tree)


def _name(number: int) -> str:
    return f"street/{number:08d}"


def _clip(begin: int, length: int) -> dict[str, Any]:
    middle = length // 2
    frames = [_name(begin + i) for i in range(length)]
    own = {"name": f"street_{begin:08d}", "video": "street", "split": "train"}
    return {**own, "frames": frames, "annotated": middle, "labeled": [middle], "hidden": []}


def measure(directory: Path) -> dict[str, float]:
    """All three, in this process."""
    begin = _peak()
    found: dict[str, float] = {}
    start = time.process_time()
    store = ClipStore(directory)
    found |= {"open, s": time.process_time() - start, "open, peak MiB": _peak() - begin}
    start = time.process_time()
    runs = chains(store)
    found |= {"order, s": time.process_time() - start, "order, peak MiB": _peak() - begin}
    gc.collect()
    found["held MiB"] = _now() - begin
    start = time.process_time()
    write_long(directory / "pseudo.json", {"frames": ([link.name for link in part] for part in _parts(runs))})
    origins = (
        {link.name: {"origins": [link.name], "steps": [0], "explained": [1.0]} for link in part}
        for part in _parts(runs)
    )
    write_long(directory / "provenance.json", {"flow": "dis", "frames": origins})
    return found | {"write, s": time.process_time() - start, "write, peak MiB": _peak() - begin}


def measure_list(directory: Path) -> dict[str, float]:
    """Commit the images below a directory, in this process, and read the list."""
    begin = _peak()
    start = time.process_time()
    made = store.commit(directory, directory.with_name("made"), Manifest(kind="predictions", id="0" * 64))
    found = {"commit, s": time.process_time() - start, "commit, peak MiB": _peak() - begin}
    start = time.process_time()
    if problems := store.check(made.path):
        sys.exit(problems[0])
    found |= {"check, s": time.process_time() - start}
    start = time.process_time()
    last = deque(made.entries(), 1).pop().path
    made.file(last)
    return found | {"find the last, s": time.process_time() - start, "peak MiB": _peak() - begin}


def write_images(directory: Path, count: int) -> None:
    """So many files, as `predict` names them."""
    (directory / "street" / "labels").mkdir(parents=True)
    for number in range(count):
        (directory / "street" / "labels" / f"{number:06}.png").touch()


def _parts(runs: list[Chain]) -> Iterator[list[Any]]:
    links = chain.from_iterable(runs)
    while part := list(islice(links, PART)):
        yield part


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB


def _now() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


def main() -> None:
    """Print a row for each length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=(54_000, 270_000, 1_080_000))
    parser.add_argument("--clip", type=int, default=25, help="frames of a clip")
    parser.add_argument("--files", type=int, nargs="+", default=(9_000, 36_000))
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    Figures.option(parser)
    args = parser.parse_args()
    if args.at:
        print(json.dumps((measure_list if args.at.name == "files" else measure)(args.at)))
        return
    figures = Figures()
    _table(
        figures,
        args.frames,
        "frames",
        "held MiB",
        lambda path, count: write_index(path, count, args.clip),
    )
    print()
    _table(figures, args.files, "files", "peak MiB", write_images)
    figures.write(args.json)


def _table(figures: Figures, counts: Sequence[int], what: str, memory: str, make: Callable[[Path, int], None]) -> None:
    """Print a row for each count. memory: the figure of which the bytes for each of them are told, too."""
    begun = False
    for count in counts:
        with tempfile.TemporaryDirectory() as place:
            directory = Path(place) / what
            directory.mkdir()
            make(directory, count)
            command = [sys.executable, __file__, "--at", str(directory)]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if not begun:
            print(f"| {what} | {' | '.join(row)} | B each |\n|{'---|' * (len(row) + 2)}")
            begun = True
        each = row[memory] * MIB / count
        print(f"| {count} | {' | '.join(f'{value:.1f}' for value in row.values())} | {each:.0f} |", flush=True)
        figures.add(f"{count} {what}", smaller={**row, f"{memory}, B each": each})


if __name__ == "__main__":
    main()
