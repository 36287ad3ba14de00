"""The clip store: every frame once, at training size, in HDF5 files of bounded size, plus a typed index.

    clips.json        clips, label space, size, and for each frame: its file and row
    clips-000.h5      frames (n, h, w, 3) uint8, contiguous (codec raw) | encoded (n,) bytes (png, jpeg)
                      labels (m, h, w) uint8, one gzip chunk each
                      flow_backward, flow_forward (n, 2, h, w) float32, and visible_* (n, h, w) (only with true flow)
                      crc32 (n,) of each frame as stored

Raw frames are contiguous on disk, so a crop is read through a memory map and the rest of the frame is never touched.
Files open lazily, once a process, and are never pickled.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, Literal

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from data_prep.base import Frame, Label, TrueFlow
from ifrkit.config.base import Config
from ifrkit.data.records import ClipRecord, LabelSpace, Split, Window
from ifrkit.errors import ArtifactError

INDEX = "clips.json"
REMEDY = "run `ifrkit prepare` again with --force"
Codec = Literal["raw", "png", "jpeg"]


class FrameEntry(Config):
    """Where one frame lies. label, full_label: rows in the same file's `labels` and group `full`, None without."""

    file: int
    row: int
    label: int | None = None
    full_label: int | None = None


class StoreIndex(Config):
    """clips.json."""

    name: str
    labels: LabelSpace
    size: tuple[int, int]
    codec: Codec
    has_flow: bool
    files: tuple[str, ...]
    clips: tuple[ClipRecord, ...]
    frames: dict[str, FrameEntry]
    histogram: dict[str, list[int]]
    """Split -> labeled pixels of each class, ignored pixels last."""


class ClipStore:
    """Read access to a clips artifact by its directory."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.index = StoreIndex.model_validate(json.loads((self.path / INDEX).read_text()))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{self.path / INDEX}: unreadable ({str(error).splitlines()[0]})", REMEDY) from None
        self.name, self.labels, self.size = self.index.name, self.index.labels, self.index.size
        self.clips, self.has_flow = list(self.index.clips), self.index.has_flow
        self._open: dict[int, h5py.File] = {}
        self._maps: dict[int, NDArray[np.uint8]] = {}
        self._process = os.getpid()

    def __reduce__(self) -> tuple[type[ClipStore], tuple[Path]]:
        return ClipStore, (self.path,)

    def clips_of(self, split: Split) -> list[int]:
        """Indices of a split's clips."""
        return [i for i, clip in enumerate(self.clips) if clip.split == split]

    def frame(self, clip: int, index: int, window: Window | None = None) -> Frame:
        """A frame, or only the window of it."""
        entry = self._entry(clip, index)
        y, x = _slices(window)
        if self.index.codec == "raw":
            return np.ascontiguousarray(self._raw(entry.file)[entry.row, y, x])
        data = self._read(entry.file, "encoded", entry.row)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if image is None:
            raise ArtifactError(f"{self._file_name(entry.file)}: frame {entry.row} does not decode", REMEDY)
        return np.ascontiguousarray(image[y, x, ::-1])

    def label(self, clip: int, index: int, window: Window | None = None, *, hidden: bool = False) -> Label:
        """The label of a frame. Hidden labels (for evaluation only) must be asked for."""
        record, entry = self.clips[clip], self._entry(clip, index)
        if entry.label is None or not (index in record.labeled or (hidden and index in record.hidden)):
            state = "hidden" if index in record.hidden else "missing"
            raise ArtifactError(f"clip {record.name}: the label of frame {index} is {state}", "choose a labeled frame")
        y, x = _slices(window)
        return np.asarray(self._read(entry.file, "labels", entry.label)[y, x], dtype=np.uint8)

    def full_label(self, clip: int, index: int) -> Label:
        """A visible or hidden label at its own resolution (kept only with `prepare --set full_labels=true`)."""
        entry = self._entry(clip, index)
        if entry.full_label is None:
            raise ArtifactError(f"{self.path}: holds no full-size labels", "prepare with --set full_labels=true")
        return np.asarray(self._read(entry.file, f"full/{entry.full_label}", ()), dtype=np.uint8)

    def flow(self, clip: int, index: int, *, backward: bool, window: Window | None = None) -> TrueFlow | None:
        """Exact flow to the frame before (backward) or after; None without truth or without that neighbour."""
        neighbour = index - 1 if backward else index + 1
        if not self.has_flow or not 0 <= neighbour < len(self.clips[clip].frames):
            return None
        entry, side = self._entry(clip, index), "backward" if backward else "forward"
        y, x = _slices(window)
        flow = self._read(entry.file, f"flow_{side}", entry.row)[:, y, x]
        visible = self._read(entry.file, f"visible_{side}", entry.row)[y, x]
        return TrueFlow(np.asarray(flow, dtype=np.float32), np.asarray(visible, dtype=np.bool_))

    def verify(self) -> None:
        """Check every frame against its crc32. Raises ArtifactError naming the file."""
        for entry in self.index.frames.values():
            data = (
                self._raw(entry.file)[entry.row]
                if self.index.codec == "raw"
                else self._read(entry.file, "encoded", entry.row)
            )
            if zlib.crc32(np.ascontiguousarray(data).tobytes()) != int(self._read(entry.file, "crc32", entry.row)):
                raise ArtifactError(f"{self._file_name(entry.file)}: frame {entry.row} is corrupt", REMEDY)

    def _entry(self, clip: int, index: int) -> FrameEntry:
        return self.index.frames[self.clips[clip].frames[index]]

    def _file_name(self, file: int) -> Path:
        return self.path / self.index.files[file]

    def _h5(self, file: int) -> h5py.File:
        if os.getpid() != self._process:  # HDF5 handles do not survive a fork
            self._open, self._maps, self._process = {}, {}, os.getpid()
        if file not in self._open:
            try:
                self._open[file] = h5py.File(self._file_name(file), "r")
            except OSError as error:
                raise ArtifactError(f"{self._file_name(file)}: unreadable ({error})", REMEDY) from None
        return self._open[file]

    def _raw(self, file: int) -> NDArray[np.uint8]:
        if file not in self._maps:
            data = self._h5(file)["frames"]
            offset = data.id.get_offset()
            self._maps[file] = np.memmap(self._file_name(file), np.uint8, "r", offset, data.shape)
        return self._maps[file]

    def _read(self, file: int, name: str, row: Any) -> Any:
        try:
            return self._h5(file)[name][row]
        except (OSError, KeyError, ValueError) as error:
            raise ArtifactError(f"{self._file_name(file)}: cannot read {name} ({error})", REMEDY) from None


def _slices(window: Window | None) -> tuple[slice, slice]:
    if window is None:
        return slice(None), slice(None)
    return slice(window.y, window.y + window.height), slice(window.x, window.x + window.width)
