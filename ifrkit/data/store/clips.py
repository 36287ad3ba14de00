"""The clip store: `clips.json` says what there is, `frames-00000.h5`, ... hold it.

Frames are stored once by their name, whatever number of clips they belong to. The store is written once and then only
read. A `ClipStore` pickles as its path; every process opens its own HDF5 files, when it first needs them.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ifrkit.artifacts.atomic import open_atomic
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.core.records import Frame, Label, LabelSpace, Split, TrueFlow, Window
from ifrkit.data.store.index import INDEX, StoreIndex, read_index
from ifrkit.data.store.layout import REMAKE

if TYPE_CHECKING:
    from ifrkit.data.store import file as h5
else:
    h5 = lazy("ifrkit.data.store.file")  # a dry run asks the index alone

_UNPACKED_BYTES = 32 << 20
"""Of labels that are kept: few are shown again and again, and to unpack one takes longer than to crop a sample."""


class ClipStoreWriter:
    """Writes a store into `directory`: each file whole (`file`), the index last (`finish`).

    scratch: where unfinished files are, on the same file system.
    """

    def __init__(self, directory: Path, scratch: Path, index: StoreIndex) -> None:
        self.directory, self.scratch, self.index = directory, scratch, index

    def file(self, number: int) -> h5.StoreFileWriter:
        """The writer of one file of the index; its rows must be written in order."""
        entry = self.index.files[number]
        labels = sum(name in self.index.label_names for name in entry.frames)
        partial = self.scratch / f".{entry.name}.partial"
        return h5.StoreFileWriter(self.directory / entry.name, partial, self.index.layout, len(entry.frames), labels)

    def finish(self, histogram: dict[Split, tuple[int, ...]]) -> None:
        """Write the index."""
        index = replace(self.index, histogram=histogram)
        with open_atomic(self.directory / INDEX) as file:
            file.writelines(text.encode() for text in index.pieces())


class ClipStore:
    """A store to read from. `clips` are indexed by the number that all methods here take."""

    def __init__(self, path: Path, kept: int = _UNPACKED_BYTES) -> None:
        """path: the directory of a clips artifact. kept: bytes of unpacked labels that are kept, one at least.

        Raises ArtifactError if it holds no readable index.
        """
        self.path, self._kept = path, kept
        self.index, self._rows = read_index(path)
        self.clips = list(self.index.clips)
        self._ends = list(accumulate(len(file.frames) for file in self.index.files))
        self._files: dict[int, h5.StoreFileReader] = {}
        self._labels: OrderedDict[str, Label] = OrderedDict()
        self._process = os.getpid()

    @classmethod
    def of(cls, artifact: Artifact, kept: int = _UNPACKED_BYTES) -> ClipStore:
        """The store of a clips artifact. Raises ArtifactError, too, if its index is not as recorded."""
        return cls(artifact.file(INDEX).parent, kept)

    @property
    def name(self) -> str:
        """Of the dataset."""
        return self.index.name

    @property
    def labels(self) -> LabelSpace:
        return self.index.labels

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every frame and label."""
        return self.index.size

    def check_crop(self, crop: tuple[int, int], key: str) -> None:
        """Raises ConfigError when a (height, width) is larger than the stored frames. key: its name in the config."""
        (height, width), (stored_height, stored_width) = crop, self.size
        if height > stored_height or width > stored_width:
            fit = f"[{min(height, stored_height)},{min(width, stored_width)}]"
            fault = f"{key} {height}x{width} is larger than the stored frames ({stored_height}x{stored_width})"
            raise ConfigError(fault, f"use --set {key}={fit}, or prepare larger frames")

    @property
    def has_flow(self) -> bool:
        return self.index.has_flow

    @property
    def pixel_label_names(self) -> frozenset[str]:
        """Names of the frames that have a label, visible or hidden."""
        return self.index.label_names

    def clips_of(self, split: Split) -> list[int]:
        """Numbers of the clips of a split."""
        return [number for number, clip in enumerate(self.clips) if clip.split == split]

    @property
    def stored_frames(self) -> int:
        """How many frames there are; those that clips share count once."""
        return self._ends[-1] if self._ends else 0

    def rows(self, clip: int) -> Sequence[int]:
        """Which of the stored frames, counted through all files, a clip shows."""
        return self._rows[clip]

    def frame(self, clip: int, index: int, window: Window | None = None, *, copy: bool = True) -> Frame:
        """Frame `index` of a clip, or a window of it: (h, w, 3) uint8 RGB. The pixels are checked.

        copy: off for a caller who does not write into it, and copies it soon.
        """
        file, row = self._row(clip, index)
        frame = file.frame(row, window)
        return frame.copy() if copy else frame

    def label(
        self, clip: int, index: int, window: Window | None = None, *, hidden: bool = False, copy: bool = True
    ) -> Label:
        """The label of a frame, or a window of it: (h, w) uint8 class ids, 255 = ignore. copy: as for `frame`.

        hidden: evaluation may also ask for labels that training must not see. Raises ArtifactError if there is none.
        """
        self._may_see(clip, index, hidden)
        label = self._whole_label(clip, index)
        y, x, height, width = window or Window(0, 0, *self.size)
        label = label[y : y + height, x : x + width]
        return label.copy() if copy else label

    def full_label(self, clip: int, index: int) -> Label:
        """The label of a val or test frame at its own resolution. Raises ArtifactError if it was not kept."""
        self._may_see(clip, index, hidden=True)
        file, row = self._row(clip, index)
        remedy = "prepare with --set full_labels=true (it keeps them of val and test)"
        return self._there(file.full_label(row), clip, index, "full-size label", remedy)

    def flow(self, clip: int, index: int, *, backward: bool, window: Window | None = None) -> TrueFlow | None:
        """Exact flow of a frame to the frame before (backward) or after; None where the dataset has none."""
        file, row = self._row(clip, index)
        return file.flow(row, backward=backward, window=window)

    def verify(self) -> None:
        """Read every byte of every frame, label and flow. Raises ArtifactError at the first that is not as written."""
        for number in range(len(self.index.files)):
            self._file(number).verify()

    def _whole_label(self, clip: int, index: int) -> Label:
        """Unpacked now, or one of those that were asked for last."""
        name = self.clips[clip].frames[index]
        if name not in self._labels:
            file, row = self._row(clip, index)
            label = self._there(file.label(row), clip, index, "label")
            while self._labels and (len(self._labels) + 1) * label.nbytes > self._kept:
                self._labels.popitem(last=False)
            label.flags.writeable = False  # the next one who asks gets the same
            self._labels[name] = label
        self._labels.move_to_end(name)
        return self._labels[name]

    def _may_see(self, clip: int, index: int, hidden: bool) -> None:
        record = self.clips[clip]
        if index in record.labeled or (hidden and index in record.hidden):
            return
        kind = "a hidden" if index in record.hidden else "no"
        raise ArtifactError(f"{self.path}: frame {index} of clip {record.name} has {kind} label", "ask for another one")

    def _there(self, label: Label | None, clip: int, index: int, what: str, remedy: str = REMAKE) -> Label:
        if label is None:
            raise ArtifactError(f"{self.path}: frame {self.clips[clip].frames[index]} has no {what}", remedy)
        return label

    def _row(self, clip: int, index: int) -> tuple[h5.StoreFileReader, int]:
        row = self._rows[clip][index]
        number = bisect_right(self._ends, row)
        return self._file(number), row - (self._ends[number - 1] if number else 0)

    def _file(self, number: int) -> h5.StoreFileReader:
        if self._process != os.getpid():  # HDF5 handles do not survive a fork
            self._files, self._process = {}, os.getpid()
        if number not in self._files:
            entry = self.index.files[number]
            self._files[number] = h5.StoreFileReader(self.path / entry.name, self.index.layout, len(entry.frames))
        return self._files[number]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "kept": self._kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
