"""Pseudo labels on disk: files of equal numbers of frames, each written whole, and read by frame and window.

    pseudo.json         {"frames": [names], "per_file": n, "size": [h, w], "num_classes": K}
    labels-00000.h5     "labels" (n, h, w) uint8 class ids, 255 = none; "confidence" (n, h, w) uint8, floor(255 *
                        probability); one gzip-1 chunk a frame, each with a Fletcher-32 sum

Frame i of `frames` lies in file i // per_file at row i % per_file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrkit.artifacts.indexes import Pseudo
from ifrkit.artifacts.store import REMAKE, Artifact
from ifrkit.core.errors import ArtifactError
from ifrkit.core.keyed import key_rng
from ifrkit.core.records import IGNORE, Window
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.new_file import NewFile
from ifrkit.data.store.own import CorruptRow, open_file, packed

PER_FILE = 256
COUNTED = 2000
"""So many frames at the most are read to count classes and confidences."""

Ids = NDArray[np.uint8]


def training_frames(store: ClipStore) -> dict[str, tuple[int, int]]:
    """Every frame of the training clips by name, once: a clip and a position where it is found."""
    frames: dict[str, tuple[int, int]] = {}
    for clip in store.clips_of("train"):
        for index, name in enumerate(store.clips[clip].frames):
            frames.setdefault(name, (clip, index))
    return frames


def file_name(number: int) -> str:
    """The name of the file with this number."""
    return f"labels-{number:05d}.h5"


class PseudoWriter(NewFile):
    """Writes one file, frame by frame."""

    def __init__(self, path: Path, scratch: Path, rows: int, size: tuple[int, int]) -> None:
        super().__init__(path, scratch / f".{path.name}.partial")
        options = {"chunks": (1, *size), "compression": "gzip", "compression_opts": 1, "fletcher32": True}
        for name in ("labels", "confidence"):
            self.file.create_dataset(name, (rows, *size), "u1", track_times=False, **options)

    def write(self, row: int, labels_bhw: Ids, confidence_bhw: NDArray[np.float32]) -> None:
        """Rows from `row` on. confidence_bhw: probabilities of the labels, 0..1."""
        self.copy(row, labels_bhw, np.floor(255 * confidence_bhw).astype(np.uint8))

    def copy(self, row: int, labels_bhw: Ids, levels_bhw: Ids) -> None:
        """The same with floor(255 * probability), as `read_rows` has it."""
        stop = row + len(labels_bhw)
        self.file["labels"][row:stop] = labels_bhw
        self.file["confidence"][row:stop] = levels_bhw
        self.check()


def read_rows(path: Path, rows: int) -> Iterator[tuple[Ids, Ids]]:
    """(h, w) uint8 labels and floor(255 * probability) of the first rows of a file that was just written."""
    with open_file(path) as file:
        for row in range(rows):
            yield file["labels"][row], file["confidence"][row]


class PseudoLabels:
    """A pseudo-labels artifact beside the clips it was made for. Picklable; each process opens its own files."""

    def __init__(self, artifact: Artifact, store: ClipStore, labeled: Sequence[int]) -> None:
        """labeled: the clips whose own labels may be seen; those labels take precedence."""
        path, index = artifact.path, Pseudo.read(artifact)
        self.path, self._store, self._per_file = path, store, index.per_file
        self._rows = {name: row for row, name in enumerate(index.frames)}
        self._own = {store.clips[c].frames[i]: (c, i) for c in labeled for i in store.clips[c].labeled}
        if index.size != store.size or not training_frames(store).keys() <= self._rows.keys():
            raise ArtifactError(f"{path} was not made from these clips", "run pseudo-label on a branch trained on them")
        self._id = artifact.id
        self._counts: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._files: dict[int, tuple[Any, Any]] = {}
        self._process = os.getpid()

    def label(self, clip: int, index: int, window: Window | None = None, threshold: float = 0.0) -> Ids:
        """(h, w) uint8: the dataset's label where it may be seen, else the pseudo label, 255 below the threshold."""
        name = self._store.clips[clip].frames[index]
        if threshold > 0 or name in self._own:
            labels, levels = self.scored(clip, index, window)
            if levels is not None:
                labels[levels < math.ceil(255 * threshold)] = IGNORE
            return labels
        return self._read("labels", self._rows[name], window)

    def scored(self, clip: int, index: int, window: Window | None = None) -> tuple[Ids, Ids | None]:
        """(h, w) uint8: the same without a threshold, and floor(255 * probability); None where it is the dataset's."""
        name = self._store.clips[clip].frames[index]
        if name in self._own:
            return self._store.label(*self._own[name], window), None
        row = self._rows[name]
        return self._read("labels", row, window), self._read("confidence", row, window)

    def statistics(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(k, 256) pixels of each class at each level of confidence, over frames without a label of their own; and (k)
        labeled pixels of each class. Counted once; of more than `COUNTED` frames so many, evenly spaced, stand for all.
        """
        if self._counts is None:
            classes = self._store.labels.num_classes
            rows = [row for name, row in self._rows.items() if name not in self._own]
            counts = np.zeros(classes << 8, np.int64)
            for row in rows[:: max(1, -(-len(rows) // COUNTED))]:
                labels, levels = self._read("labels", row), self._read("confidence", row)
                known = labels != IGNORE  # a propagated label does not reach everywhere
                counts += np.bincount(labels[known].astype(np.int64) << 8 | levels[known], minlength=classes << 8)
            labeled = np.zeros(IGNORE + 1, np.int64)
            for place in self._own.values():
                labeled += np.bincount(self._store.label(*place).ravel(), minlength=IGNORE + 1)
            self._counts = counts.reshape(classes, 256), labeled[:classes]
        return self._counts

    def chance(self, clip: int, index: int, window: Window | None = None) -> NDArray[np.float32]:
        """(h, w) random numbers in 0..1 for the pixels of a frame, by the artifact and the name of the frame."""
        y, x, height, width = window or Window(0, 0, *self._store.size)
        rng = key_rng(self._id, self._store.clips[clip].frames[index])
        return rng.random(self._store.size, np.float32)[y : y + height, x : x + width]

    def _read(self, what: str, row: int, window: Window | None = None) -> Ids:
        """(h, w) uint8 of a frame: its "labels" or "confidence"."""
        number, row = divmod(row, self._per_file)
        y, x, height, width = window or Window(0, 0, *self._store.size)
        try:
            found: Ids = self._open(number)[what == "confidence"][row, y : y + height, x : x + width]
            if what == "labels":
                outside = (found >= self._store.labels.num_classes) & (found != IGNORE)
                if outside.any():
                    raise CorruptRow(f"a label holds id {found[outside][0]}")
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise ArtifactError(f"{self.path / file_name(number)}: the file is corrupt ({error})", REMAKE) from error
        return found

    def _open(self, number: int) -> tuple[Any, Any]:
        """Labels and confidence of a file."""
        if os.getpid() != self._process:  # HDF5 handles do not survive a fork
            self._files, self._process = {}, os.getpid()
        if number not in self._files:
            file = open_file(self.path / file_name(number))
            rows = min(self._per_file, len(self._rows) - number * self._per_file)
            datasets = [packed(file, name, (rows, *self._store.size)) for name in ("labels", "confidence")]
            self._files[number] = datasets[0], datasets[1]
        return self._files[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}
