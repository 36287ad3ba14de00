"""One HDF5 file of a clip store: frames, labels and true flow of a run of frames.

    frames           raw (n, h, w, 3) uint8, or encoded; see rows.py
    labels           (m, h, w) uint8, one gzip-1 chunk each with a Fletcher-32 sum
    label_rows       (n,): frame -> m, or -1; with such a sum too
    full_label_ROW   a label at its own resolution
    backward, forward             (n, h, w, 2) float32 flow, raw, in pixels, x first
    backward_seen, forward_seen   (n, h, w) uint8: 1 visible, 0 not; a frame without that flow is NO_FLOW everywhere

The same frames give the same bytes: nothing in the file tells the time, and rows are written in order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ifrkit.core.errors import ArtifactError
from ifrkit.core.records import IGNORE, Frame, Label, TrueFlow, Window
from ifrkit.data.store.layout import REMAKE, Layout
from ifrkit.data.store.new_file import NewFile
from ifrkit.data.store.own import CorruptRow, open_file, packed
from ifrkit.data.store.rows import EncodedReader, EncodedWriter, RawReader, RawWriter

NO_FLOW = 2
_PACKED = {"compression": "gzip", "compression_opts": 1, "fletcher32": True, "track_times": False}
_MOST_PIXELS = 1 << 28
"""Of a label at its own resolution: 16384 by 16384."""


class StoredFrame(NamedTuple):
    """All that is stored of one frame. frame: pixels for codec raw, else encoded bytes."""

    frame: Frame | bytes
    label: Label | None = None
    full_label: Label | None = None
    backward: TrueFlow | None = None
    forward: TrueFlow | None = None


class StoreFileWriter(NewFile):
    """Writes one file, row by row."""

    def __init__(self, path: Path, partial: Path, layout: Layout, count: int, labels: int) -> None:
        super().__init__(path, partial)
        self._layout, self._count = layout, count
        self._row = self._label = 0
        file = self.file
        height, width = layout.size
        self._frames: RawWriter | EncodedWriter
        if layout.codec == "raw":
            self._frames = RawWriter(file, "frames", count, (height, width, 3), "u1")
        else:
            self._frames = EncodedWriter(file, "frames", count)
        chunk, most = (1, height, width), (max(1, labels), height, width)  # a chunk must fit, even into no labels
        self._labels = file.create_dataset(
            "labels", (labels, height, width), "u1", maxshape=most, chunks=chunk, **_PACKED
        )
        self._label_rows = np.full(count, -1, np.int32)
        self._flows: dict[str, tuple[RawWriter, RawWriter]] = {}
        for name in ("backward", "forward") if layout.has_flow else ():
            flow = RawWriter(file, name, count, (height, width, 2), "f4")
            self._flows[name] = flow, RawWriter(file, f"{name}_seen", count, (height, width), "u1")

    def write(self, item: StoredFrame) -> None:
        """Write the next row."""
        row = self._row
        self._frames.write(row, item.frame)  # type: ignore[arg-type]  # its kind follows from the codec
        if item.label is not None:
            self._labels[self._label] = item.label
            self._label_rows[row] = self._label
            self._label += 1
        if item.full_label is not None:
            full = item.full_label
            self.file.create_dataset(f"full_label_{row}", data=full, chunks=full.shape, **_PACKED)
        for name, (vectors, seen) in self._flows.items():
            flow: TrueFlow | None = getattr(item, name)
            size = self._layout.size
            vectors.write(row, np.zeros((*size, 2)) if flow is None else np.moveaxis(flow.flow_2hw, 0, 2))
            seen.write(row, np.full(size, NO_FLOW) if flow is None else flow.visible_hw)
        self._row += 1
        self.check()

    def finish(self) -> None:
        """All rows were written, or it is a ValueError; then which of them have a label."""
        if (self._row, self._label) != (self._count, len(self._labels)):
            raise ValueError(f"{self._path}: {self._row} of {self._count} rows were written")
        self.file.create_dataset("label_rows", data=self._label_rows, chunks=(self._count,), **_PACKED)


class StoreFileReader:
    """Reads one file. Every failure is an ArtifactError that names the file."""

    def __init__(self, path: Path, layout: Layout, count: int) -> None:
        self.path, self._layout = path, layout
        height, width = layout.size
        try:
            self._file = file = open_file(path)
            self._frames: RawReader | EncodedReader
            if layout.codec == "raw":
                self._frames = RawReader(path, file, "frames", (count, height, width, 3), "u1")
            else:
                self._frames = EncodedReader(file, "frames", count, layout.size)
            self._labels = packed(file, "labels", (None, height, width))
            self._label_rows = packed(file, "label_rows", (count,), "i4")[:]
            if self._label_rows.max() >= len(self._labels):
                raise CorruptRow(f"there are {len(self._labels)} labels, not {self._label_rows.max() + 1}")
            self._flows = {
                name: (
                    RawReader(path, file, name, (count, height, width, 2), "f4"),
                    RawReader(path, file, f"{name}_seen", (count, height, width), "u1"),
                )
                for name in (("backward", "forward") if layout.has_flow else ())
            }
        except FileNotFoundError:
            raise ArtifactError(f"{path}: the file is missing", REMAKE) from None
        except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise self._corrupt(error) from error

    def frame(self, row: int, window: Window | None = None) -> Frame:
        """(h, w, 3) uint8 RGB, not to be written."""
        try:
            return self._frames.read(row, window)
        except (OSError, ValueError, SyntaxError) as error:
            raise self._corrupt(error) from error

    def label(self, row: int) -> Label | None:
        """(h, w) uint8, or None if there is none."""
        place = int(self._label_rows[row])
        return None if place < 0 else self._read(self._labels, place)

    def full_label(self, row: int) -> Label | None:
        """The label at its own resolution, or None if it was not kept."""
        name = f"full_label_{row}"
        if name not in self._file:
            return None
        try:
            full = packed(self._file, name, (None, None))
            if full.size > _MOST_PIXELS:
                raise CorruptRow(f"dataset {name!r} has {full.size} pixels")
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise self._corrupt(error) from error
        return self._read(full, ...)

    def flow(self, row: int, *, backward: bool, window: Window | None = None) -> TrueFlow | None:
        """Exact flow, or None where there is none."""
        if not self._flows:
            return None
        vectors, seen = self._flows["backward" if backward else "forward"]
        try:
            seen_hw, flow_hw2 = seen.read(row, window), vectors.read(row, window)
        except ValueError as error:
            raise self._corrupt(error) from error
        if seen_hw.flat[0] == NO_FLOW:
            return None
        return TrueFlow(np.array(np.moveaxis(flow_hw2, 2, 0), order="C"), seen_hw.astype(bool))

    def verify(self) -> None:
        """Read everything. Raises ArtifactError at the first bit that is not as it was written."""
        for reader in (self._frames, *(reader for pair in self._flows.values() for reader in pair)):
            reader.forget()
        for row in range(len(self._frames)):
            self.frame(row)
            self.label(row)
            self.full_label(row)
            for backward in (True, False):
                self.flow(row, backward=backward)

    def _read(self, dataset: Any, place: Any) -> Label:
        try:
            label: Label = dataset[place]
            outside = (label >= self._layout.classes) & (label != IGNORE)
            if outside.any():
                raise CorruptRow(f"a label holds id {label[outside][0]}, there are {self._layout.classes} classes")
        except (OSError, ValueError) as error:
            raise self._corrupt(error) from error
        return label

    def _corrupt(self, error: Exception) -> ArtifactError:
        reason = str(error).splitlines()[0] if isinstance(error, CorruptRow) else "HDF5 cannot read it"
        return ArtifactError(f"{self.path}: the file is corrupt ({reason})", REMAKE)
