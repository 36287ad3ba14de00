"""A new HDF5 file that appears under its name when it is complete, and survives a full disk."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py

from ifrkit.core.faults import named


class NewFile:
    """Use as a context manager: write into `file`, and call `check` now and then.

    The file appears under its name after a block without an error; otherwise nothing is left of it. partial: where it
    is until then, on the same file system as `path`.
    """

    def __init__(self, path: Path, partial: Path) -> None:
        self._path, self._partial = path, partial
        with named(path):
            self._sink = _Sink(partial)
        # Not "latest": every HDF5 from 1.10 on can read it, and from 1.10 on metadata has checksums.
        # Each chunk is written once and whole: a cache is of no use, and HDF5 2 would keep 8 MiB of each dataset.
        self.file = h5py.File(self._sink, "w", libver=("v110", "v110"), rdcc_nbytes=1 << 20, rdcc_nslots=521)

    def check(self) -> None:
        """Raises the OSError of the first write that failed."""
        with named(self._path):
            if self._sink.error is not None:
                raise self._sink.error

    def finish(self) -> None:
        """What is still to be written, or to be checked, at the end of the block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
                self._commit()
        finally:
            self._abandon()

    def _commit(self) -> None:
        self.file.close()
        self.check()
        with named(self._path):
            os.fsync(self._sink.fileno())
            self._sink.close()
        self._partial.replace(self._path)

    def _abandon(self) -> None:
        """Remove what was written. Does nothing after `_commit`."""
        self._sink.error = self._sink.error or OSError("abandoned")
        self.file.close()
        with contextlib.suppress(OSError):  # the error that comes first is the one to tell
            self._sink.close()
            self._partial.unlink(missing_ok=True)


class _Sink(io.FileIO):
    """HDF5 is left in a state that ends the process (a segmentation fault) when a write fails, as on a full disk.

    So it never learns: the first error is kept for `check`, and nothing is written any more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: object) -> int:
        """All of the data, or the error is kept."""
        rest = memoryview(data).cast("B")  # type: ignore[arg-type]
        size = len(rest)
        while rest and self.error is None:
            rest = rest[self._attempt(super().write, rest) :]
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file, or the error is kept."""
        return self._attempt(super().truncate, size)

    def _attempt(self, operation: Callable[[Any], int | None], argument: object) -> int:
        try:
            return operation(argument) or 0 if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0
