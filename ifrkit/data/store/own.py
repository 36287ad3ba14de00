"""Datasets of an HDF5 file that hold their bytes in that very file, in the form that we write.

A file may come from a stranger. HDF5 can make a name stand for data of another file (external links, external storage,
virtual datasets), and can hold any shape in a few bytes.
"""

from __future__ import annotations

from typing import Any

import h5py


class CorruptRow(ValueError):
    """What was read is not what was written."""


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
    return found


def packed(file: h5py.File, name: str, shape: tuple[int | None, ...]) -> Any:
    """A dataset of bytes in chunks with checksums, as labels are written; a sum that does not match is an OSError."""
    found = own(file, name, shape, "u1")
    if not found.fletcher32:
        raise CorruptRow(f"dataset {name!r} has no checksums")
    return found
