"""Datasets of an HDF5 file that hold their bytes in that very file, in the form that we write.

A file may come from a stranger. HDF5 can make a name stand for data of another file (external links, external storage,
virtual datasets), can hold any shape in a few bytes, and reads what was never written as zeros, which is a class.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py

_CHUNK = 1 << 20
"""Bytes of a chunk that may be larger than its dataset."""


class CorruptRow(ValueError):
    """What was read is not what was written."""


def open_file(path: Path) -> h5py.File:
    """The file, to read. Raises FileNotFoundError, CorruptRow for a pipe or a device, and what HDF5 raises."""
    path.stat()
    if not path.is_file():
        raise CorruptRow("it is not a plain file")
    # No cache of unpacked chunks, which HDF5 2 lets grow to 8 MiB a dataset: who reads one again keeps it.
    return h5py.File(path, "r", locking=False, rdcc_nbytes=0)


def own(file: h5py.File, name: str, shape: tuple[int | None, ...], dtype: str) -> Any:
    """A dataset of this file. shape: None stands for any length. Raises CorruptRow, and KeyError if it is not there."""
    link = file.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise CorruptRow(f"{name!r} is a link to elsewhere")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
        raise CorruptRow(f"{name!r} does not hold its data itself")
    fits = len(found.shape) == len(shape) and all(w in (None, n) for n, w in zip(found.shape, shape, strict=True))
    if not fits or found.dtype != dtype:
        raise CorruptRow(f"dataset {name!r} is not {shape} {dtype} but {found.shape} {found.dtype}")
    _require_written(found, name)
    return found


def _require_written(found: Any, name: str) -> None:
    """Raise CorruptRow where a part of a dataset is not in the file, or is much larger than it has to be to be read."""
    if found.chunks is None:
        whole = found.id.get_storage_size() >= found.nbytes
    else:
        wanted = math.prod(-(-n // c) for n, c in zip(found.shape, found.chunks, strict=True))
        whole = found.id.get_num_chunks() == wanted
        if math.prod(found.chunks) * found.dtype.itemsize > max(found.nbytes, _CHUNK):
            raise CorruptRow(f"dataset {name!r} has chunks of {found.chunks}")
    if not whole:
        raise CorruptRow(f"a part of dataset {name!r} was never written")


def packed(file: h5py.File, name: str, shape: tuple[int | None, ...], dtype: str = "u1") -> Any:
    """A dataset in chunks with checksums, as labels are written; a sum that does not match is an OSError."""
    found = own(file, name, shape, dtype)
    if not found.fletcher32:
        raise CorruptRow(f"dataset {name!r} has no checksums")
    return found
