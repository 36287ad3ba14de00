"""Contract tests for authors of plug-ins: call them from your own test suite.

    from ifrkit.testing import check_dataset, check_fingerprint, toy

    def test_my_dataset(tmp_path):
        dataset = toy("mine", tmp_path)
        check_dataset(dataset)
        check_fingerprint(dataset)

`check_architecture`, `check_label_format`, `check_metric` and `check_method` (in `ifrkit.testing.methods`) do the same
for the other kinds. Every check raises AssertionError with a sentence that says what the contract wants; the contract
of a kind is its `base.py`. The tiny trees and exports that they read are written by the `make_toy` of each plug-in.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.base import Dataset
from ifrkit.core.bounds import require_apart
from ifrkit.core.plugins import load
from ifrkit.core.records import IGNORE, ClipRecord
from ifrkit.testing.contracts import check_architecture, check_metric
from ifrkit.testing.labels import check_label_format

__all__ = ["check_architecture", "check_dataset", "check_fingerprint", "check_label_format", "check_metric", "toy"]


def toy(name: str, root: Path, *, seed: int = 0, **options: Any) -> Dataset:
    """A dataset plug-in opened on the tiny tree that its own `make_toy` writes below `root`."""
    cls = load("datasets", name)
    cls.make_toy(root, seed)
    dataset: Dataset = cls(root, cls.Config.of(options), seed)
    return dataset


def check_dataset(dataset: Dataset, most_frames: int = 200) -> None:
    """The whole contract, read-only. Pixels are read for the first `most_frames` frames of every split."""
    require_apart(dataset.Config)
    _check_label_space(dataset)
    clips = dataset.clips()
    _check_clips(clips)
    _check_frames(dataset, clips, most_frames)
    _check_labels(dataset, clips, most_frames)
    _check_flow(dataset, clips)
    _check_copies(dataset, clips)
    summary = dataset.summary()
    _require(all(isinstance(s, str) and "\n" not in s for s in summary), "summary() is a list of single lines")


def check_fingerprint(dataset: Dataset) -> None:
    """fingerprint() is stable, and changes when the files do. It TOUCHES every file below the root: toys only."""
    before = dataset.fingerprint()
    _require(_again(dataset).fingerprint() == before, "fingerprint() is stable")
    files = sorted(p for p in dataset.root.rglob("*") if p.is_file())
    for path in files:
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    if files:
        _require(_again(dataset).fingerprint() != before, "fingerprint() changes when the files do")


def _require(condition: bool, contract: str) -> None:
    if not condition:
        raise AssertionError(f"contract of a dataset: {contract}")


def _again(dataset: Dataset) -> Dataset:
    return type(dataset)(dataset.root, dataset.config, dataset.seed)


def _check_label_space(dataset: Dataset) -> None:
    space = dataset.label_space()
    _require(1 <= space.num_classes <= IGNORE, "1 to 255 classes (255 is the ignore id)")
    _require(len(set(space.names)) == len(space.names), "class names are unique")
    _require(len(space.colors) == len(space.names), "one colour for each class")
    _require(all(0 <= v <= 255 for color in space.colors for v in color), "colours are 8-bit RGB")


def _check_clips(clips: list[ClipRecord]) -> None:
    _require(bool(clips), "there is a clip")
    twice = [name for name, n in Counter(c.name for c in clips).items() if n > 1]
    _require(not twice, f"clip names are unique (twice: {twice[:3]})")
    split_of: dict[str, str] = {}
    for clip in clips:
        where = f"clip {clip.name}:"
        positions = range(len(clip.frames))
        _require(len(set(clip.frames)) == len(clip.frames), f"{where} no frame twice in one clip")
        _require(
            {*clip.labeled, *clip.hidden} <= set(positions), f"{where} labeled and hidden are positions in the clip"
        )
        _require(not set(clip.labeled) & set(clip.hidden), f"{where} a label is visible or hidden, not both")
        _require(list(clip.labeled) == sorted(set(clip.labeled)), f"{where} labeled positions ascend")
        _require(list(clip.hidden) == sorted(set(clip.hidden)), f"{where} hidden positions ascend")
        if clip.annotated is None:
            _require(not clip.labeled, f"{where} without an annotated frame no label is visible")
        else:
            _require(clip.annotated in clip.labeled, f"{where} the annotated frame's label is visible")
        for frame in clip.frames:
            shared = split_of.setdefault(frame, clip.split)
            _require(
                shared == clip.split, f"{where} no frame is in two splits ({frame} is in {shared} and {clip.split})"
            )


def _first_frames(clips: list[ClipRecord], most: int) -> list[str]:
    """Up to `most` distinct frames of every split, in the order of the clips."""
    names: list[str] = []
    for split in ("train", "val", "test"):
        names += list(dict.fromkeys(f for c in clips if c.split == split for f in c.frames))[:most]
    return names


def _check_frames(dataset: Dataset, clips: list[ClipRecord], most: int) -> None:
    names = _first_frames(clips, most)
    read = dict(dataset.frames(names))
    _require(list(read) == names, "frames() yields every frame asked for, in that order")
    for name, frame in read.items():
        _require(
            frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3, f"frame {name} is (h, w, 3) uint8"
        )
    _require(len({frame.shape for frame in read.values()}) == 1, "all frames have one size")
    # Backwards on purpose: sequential readers must still hit the exact frame.
    for name in names[:: -max(1, len(names) // 8)]:
        _require(np.array_equal(dataset.frame(name), read[name]), f"frame({name!r}) equals what frames() gives")


def _check_labels(dataset: Dataset, clips: list[ClipRecord], most: int) -> None:
    known = {*range(dataset.label_space().num_classes), IGNORE}
    readable = set(_first_frames(clips, most))
    for name in {c.frames[i]: None for c in clips for i in (*c.labeled, *c.hidden) if c.frames[i] in readable}:
        label = dataset.label(name)
        _require(label.dtype == np.uint8 and label.ndim == 2, f"label {name} is (h, w) uint8")
        _require(set(np.unique(label).tolist()) <= known, f"label {name} holds class ids and 255 only")
        _require(label.shape == dataset.frame(name).shape[:2], f"label {name} has the size of its frame")


def _check_flow(dataset: Dataset, clips: list[ClipRecord]) -> None:
    for clip in clips[:2]:
        name = clip.frames[-1]
        flow = dataset.flow(name, backward=True) if len(clip.frames) > 1 else None
        if not dataset.has_flow:
            _require(flow is None, "a dataset without true flow gives None")
        elif flow is not None:
            size = dataset.frame(name).shape[:2]
            _require(
                flow.flow_2hw.shape == (2, *size) and flow.flow_2hw.dtype == np.float32, "flow is (2, h, w) float32"
            )
            _require(flow.visible_hw.shape == size and flow.visible_hw.dtype == np.bool_, "visibility is (h, w) bool")
            _require(bool(np.isfinite(flow.flow_2hw).all()), "flow is finite")


def _check_copies(dataset: Dataset, clips: list[ClipRecord]) -> None:
    """Workers get pickled copies, other machines their own instance: all must give the same bytes."""
    copies = {"a pickled copy": pickle.loads(pickle.dumps(dataset)), "a second instance": _again(dataset)}
    for what, copy in copies.items():
        _require(copy.clips() == clips, f"{what} has the same clips")
        _require(copy.label_space() == dataset.label_space(), f"{what} has the same label space")
        _require(copy.fingerprint() == dataset.fingerprint(), f"{what} has the same fingerprint")
        for clip in (clips[0], clips[-1]):
            last = clip.frames[-1]
            _require(np.array_equal(copy.frame(last), dataset.frame(last)), f"{what} gives the same pixels ({last})")
            for i in clip.labeled:
                name = clip.frames[i]
                _require(np.array_equal(copy.label(name), dataset.label(name)), f"{what} gives the same label ({name})")
