"""CamVid in the SegNet layout: `train/ trainannot/ val/ valannot/ [test/ testannot/]`, a label for every frame."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import get_args

from data_prep._catalog import Catalog
from data_prep._runs import runs, windows
from ifrkit.core.errors import DatasetError
from ifrkit.core.records import ClipRecord, Split
from ifrkit.media.images import list_images
from ifrkit.media.litter import shown
from ifrkit.media.source import Source

SPLITS: tuple[Split, ...] = get_args(Split)
_NAME = re.compile(r"(?P<video>.+)_f?(?P<number>\d+)")


def matches(root: Path) -> bool:
    """Does any split have both of its directories?"""
    return any((root / split).is_dir() and (root / f"{split}annot").is_dir() for split in SPLITS)


def scan(root: Path, length: int, stride: int, eval_stride: int) -> Catalog:
    """Clips of `length` consecutive frames of one sequence, the last one annotated.

    stride: frames between the ends of two training clips; eval_stride: the same for val and test.
    """
    catalog = Catalog()
    for split in SPLITS:
        if (root / split).is_dir():
            _scan_split(root, split, length, stride if split == "train" else eval_stride, catalog)
    return catalog


def _scan_split(root: Path, split: Split, length: int, stride: int, catalog: Catalog) -> None:
    sequences: dict[str, list[tuple[int, str]]] = {}
    ignored = []
    for path in list_images(root / split):
        match = _NAME.fullmatch(path.stem)
        if match is None:
            ignored.append(path.name)
            continue
        video = match["video"]
        name = f"{video}/{path.stem}"
        if name in catalog.frames:
            other = catalog.frames[name].path
            raise DatasetError(f"{path}: the same frame is also {other}", "keep it in one split only")
        catalog.frames[name], catalog.labels[name] = Source(path), _label_of(path, root / f"{split}annot")
        sequences.setdefault(video, []).append((int(match["number"]), name))
    if not sequences:
        raise DatasetError(f"{root / split}: no images named SEQUENCE_NUMBER.png (or .jpg)", "see the SegNet layout")
    made = 0
    for video, numbered in sorted(sequences.items()):
        made += _cut(split, video, sorted(numbered), length, stride, catalog)
    if not made:
        raise DatasetError(f"{root / split}: no {length} consecutive frames", "lower options.clip_length")
    if ignored:
        catalog.notes.append(f"{split}: ignored {len(ignored)} images not named SEQUENCE_NUMBER: {shown(ignored)}")


def _label_of(image: Path, directory: Path) -> Path:
    path = directory / f"{image.stem}.png"
    if not path.is_file():
        raise DatasetError(f"{image}: its label {path} is missing", "restore it, or remove the image")
    return path


def _cut(split: Split, video: str, numbered: list[tuple[int, str]], length: int, stride: int, catalog: Catalog) -> int:
    """Append the clips of one sequence. Every label is listed once: where it is annotated, else hidden."""
    numbers, names = [n for n, _ in numbered], [name for _, name in numbered]
    parts = runs(numbers, length)
    cut = [window for run in parts for window in windows(run, length, stride)]
    listed = {window[-1] for window in cut}
    for window in cut:
        hidden = tuple(i for i, position in enumerate(window[:-1]) if position not in listed)
        listed.update(window)
        catalog.clips.append(
            ClipRecord(
                name=names[window[-1]].partition("/")[2],
                video=video,
                split=split,
                frames=tuple(names[position] for position in window),
                annotated=length - 1,
                labeled=(length - 1,),
                hidden=hidden,
            )
        )
    unused = [names[i] for i in range(len(names)) if i not in listed]
    shape = ", ".join(f"{len(run)} at step {_step(numbers, run)}" if len(run) > 1 else "1 alone" for run in parts)
    note = f"{split} {video}: {len(names)} frames in runs of {shape}"
    catalog.notes.append(note + (f"; {len(unused)} in no clip: {shown(unused)}" if unused else ""))
    return len(cut)


def _step(numbers: list[int], run: list[int]) -> int:
    """The commonest step of a run, for the summary."""
    return Counter(numbers[b] - numbers[a] for a, b in pairwise(run)).most_common(1)[0][0]
