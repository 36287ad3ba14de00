"""Arrays of equal images inside an HDF5 file, whose crops are read without reading the rest.

Raw rows lie in one contiguous dataset, so a crop is a slice of a memory map: far cheaper than an HDF5 hyperslab, and
only the touched pages come from the disk. HDF5 checks nothing there; instead every band of 32 image rows has its
CRC-32. A process checks a band when it first reads it: checking each time took a third of the loader's time.

Encoded rows (png, jpeg) lie back to back in one dataset of bytes, with the end of each and its CRC-32.
"""

from __future__ import annotations

import io
import math
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from ifrkit.core.records import Frame, Window
from ifrkit.data.store.own import CorruptRow, own

BAND = 32
"""Image rows with one checksum."""
_CHUNK = 1 << 20


class RawWriter:
    """Writes rows of shape `shape` (height first) into a new dataset `name` of `count` rows."""

    def __init__(self, file: h5py.File, name: str, count: int, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._rows = file.create_dataset(name, (count, *shape), dtype, track_times=False)
        bands = -(-shape[0] // BAND)
        self._sums = file.create_dataset(f"{name}_crc", (count, bands), "u4", track_times=False)

    def write(self, row: int, value: NDArray[Any]) -> None:
        """Write one row."""
        value = np.ascontiguousarray(value, self._rows.dtype)
        self._rows[row] = value
        self._sums[row] = [zlib.crc32(value[top : top + BAND].data) for top in range(0, len(value), BAND)]


class RawReader:
    """Reads what RawWriter wrote. Raises CorruptRow where a checksum does not match."""

    def __init__(self, path: Path, file: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> None:
        self._bands = -(-shape[1] // BAND)
        self._rows = _mapped(path, file, name, shape, dtype)
        self._sums = _mapped(path, file, f"{name}_crc", (shape[0], self._bands), "u4")
        self._checked = bytearray(shape[0] * self._bands)
        """Of each band of each row: whether it was as it was written."""

    def read(self, row: int, window: Window | None = None) -> NDArray[Any]:
        """One row, or a window of it: not a copy, and not to be written."""
        image: NDArray[Any] = self._rows[row]
        y, x, height, width = window or Window(0, 0, *image.shape[:2])
        first, end = y // BAND, -(-(y + height) // BAND)
        if self._checked.find(0, row * self._bands + first, row * self._bands + end) >= 0:
            self._check(row, first, end)
        return image[y : y + height, x : x + width]

    def forget(self) -> None:
        """Check every band again."""
        self._checked = bytearray(len(self._checked))

    def _check(self, row: int, first: int, end: int) -> None:
        for band in range(first, end):
            if self._checked[row * self._bands + band]:
                continue
            if zlib.crc32(self._rows[row, band * BAND : (band + 1) * BAND].data) != self._sums[row, band]:
                raise CorruptRow(f"the pixels of row {row} are not those that were written")
            self._checked[row * self._bands + band] = 1

    def __len__(self) -> int:
        return len(self._rows)


def _mapped(path: Path, file: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """A dataset as a map of the file: what is read of it, the system can take back."""
    offset = own(file, name, shape, dtype).id.get_offset()
    if offset is None:
        raise CorruptRow(f"dataset {name!r} does not lie in one piece")
    if offset + math.prod(shape) * np.dtype(dtype).itemsize > path.stat().st_size:
        raise CorruptRow("the file is cut off")  # a map beyond the end of a file would end the process
    return np.memmap(path, dtype, "r", offset, shape).view(np.ndarray)  # whose slices cost less


class EncodedWriter:
    """Writes encoded images into a new dataset `name` of `count` rows, in order."""

    def __init__(self, file: h5py.File, name: str, count: int) -> None:
        self._bytes = file.create_dataset(name, (0,), "u1", maxshape=(None,), chunks=(_CHUNK,), track_times=False)
        self._ends = file.create_dataset(f"{name}_ends", (count,), "i8", track_times=False)
        self._sums = file.create_dataset(f"{name}_crc", (count,), "u4", track_times=False)

    def write(self, row: int, value: bytes) -> None:
        """Append one row."""
        start = len(self._bytes)
        self._bytes.resize((start + len(value),))
        self._bytes[start:] = np.frombuffer(value, np.uint8)
        self._ends[row], self._sums[row] = start + len(value), zlib.crc32(value)


class EncodedReader:
    """Reads what EncodedWriter wrote, as images of one size. Raises CorruptRow where a checksum does not match."""

    def __init__(self, file: h5py.File, name: str, count: int, size: tuple[int, int]) -> None:
        self._bytes, self._size = own(file, name, (None,), "u1"), size
        self._ends = own(file, f"{name}_ends", (count,), "i8")[:]
        self._sums = own(file, f"{name}_crc", (count,), "u4")[:]
        if np.any(np.diff(self._ends, prepend=0) < 0) or (count and self._ends[-1] > len(self._bytes)):
            raise CorruptRow(f"the rows of dataset {name!r} do not lie in it")

    def read(self, row: int, window: Window | None = None) -> Frame:
        """One image (h, w, 3), or a window of it. The whole image is decoded either way."""
        start = int(self._ends[row - 1]) if row else 0
        data = self._bytes[start : int(self._ends[row])].tobytes()
        if zlib.crc32(data) != self._sums[row]:
            raise CorruptRow(f"the bytes of row {row} are not those that were written")
        y, x, height, width = window or Window(0, 0, *self._size)
        return _decode(data, self._size)[y : y + height, x : x + width]

    def forget(self) -> None:
        """Nothing: every read checks its row."""

    def __len__(self) -> int:
        return len(self._ends)


def encode(frame: Frame, codec: str, jpeg_quality: int) -> bytes:
    """A frame as the bytes of an image file: codec png (lossless) or jpeg."""
    buffer = io.BytesIO()
    options = {"quality": jpeg_quality} if codec == "jpeg" else {"compress_level": 3}
    Image.fromarray(frame).save(buffer, codec, **options)
    return buffer.getvalue()


def _decode(data: bytes, size: tuple[int, int]) -> Frame:
    with Image.open(io.BytesIO(data)) as image:
        if (image.height, image.width) != size or image.mode != "RGB":  # before any pixel is decoded
            raise CorruptRow(f"an image has {image.width}x{image.height} pixels instead of {size[1]}x{size[0]}")
        return np.asarray(image)
