"""Files of torch from strangers: nothing in them is executed, and what they cost is bounded before they are opened.

Newer files are zip archives that are not packed: `data.pkl`, and an entry for each tensor. Older ones are pickles, and
the tensors follow them. torch takes a step in Python for nearly each byte of a pickle, whatever comes of it.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
import torch

from ifrkit.core.errors import ArtifactError
from ifrkit.core.limits import limit, raised
from ifrkit.models.weight_limits import require_count, require_size

_PICKLED = 128
"""Bytes of a pickle, or steps in an older one, that a tensor may take; 100 are usual."""

_make_scalar: Any = np.float64(0).__reduce__()[0]
_NUMPY_SCALARS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_make_scalar, "numpy.core.multiarray.scalar"),
    (_make_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64")),
]
"""Plain numbers that mmcv leaves in `meta` (the best score); torch refuses them unless they are named."""


def load_torch_file(path: Path) -> Any:
    """What a file of torch holds, on the CPU. Raises ArtifactError for damage, other objects, and more than is read."""
    require_size(path)
    try:
        with path.open("rb") as file:
            packed = file.read(4) == b"PK\3\4"  # as torch decides
            file.seek(0)
            if packed:
                _check_archive(path)
            with torch.serialization.safe_globals(_NUMPY_SCALARS), warnings.catch_warnings(action="ignore"):
                opened: Any = file if packed else _Counted(file, path)
                return torch.load(opened, map_location="cpu", weights_only=True)
    except (ArtifactError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        fault = f"{path} is damaged, or holds more than tensors and plain values"
        raise ArtifactError(fault, "download it again, or save its state dict alone") from error


def _check_archive(path: Path) -> None:
    """torch itself does not look at the checksums."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        require_count(path, len(entries))
        require_size(path, sum(entry.file_size for entry in entries))
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ArtifactError(f"{path} is a packed archive, and no file of torch", "unpack it first")
        if len({entry.filename for entry in entries}) < len(entries):
            raise zipfile.BadZipFile("two entries have one name")
        if any(entry.file_size > _most() for entry in entries if PurePosixPath(entry.filename).name == "data.pkl"):
            raise _too_long(path)
        if damaged := archive.testzip():
            raise zipfile.BadZipFile(damaged)


class _Counted(io.RawIOBase):
    """An older file: torch reads it object by object, which are counted."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._left = file, path, _most()

    def read(self, size: int = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise _too_long(self._path)
        return self._file.read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._file.readline(-1 if size is None else size)

    def readinto(self, buffer: Any, /) -> int:
        return self._file.readinto(buffer)  # type: ignore[attr-defined,no-any-return]

    def seek(self, place: int, whence: int = 0, /) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()


def _most() -> int:
    return _PICKLED * limit("TENSORS")


def _too_long(path: Path) -> ArtifactError:
    return ArtifactError(f"{path}: its pickle is too long for the weights of a network", raised("TENSORS"))
