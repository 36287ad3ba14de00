"""The files of a label export: one file, a directory, or a zip archive, read by name and never unpacked to disk."""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ifrkit.core.errors import DatasetError
from ifrkit.media.litter import is_litter

MAX_ENTRY = 256 << 20
"""A file in an archive that claims more bytes than this is refused: a few kB can hold gigabytes of zeros."""
MAX_TOTAL = 8 << 30
"""So is an archive whose files claim more than this together."""
_HEAD = 1 << 16
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
"""What zipfile raises for what is damaged."""


class LabelFiles:
    """Files below `path` by their names, "/" between the parts. A directory with one zip in it is that zip."""

    def __init__(self, path: Path) -> None:
        self.path = path
        inside = _visible(path) if path.is_dir() else []
        if len(inside) == 1 and inside[0].suffix.lower() == ".zip":
            self.path = path / inside[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "names": self.names}  # an open archive stays in its process

    @cached_property
    def names(self) -> list[str]:
        """All files, sorted; hidden ones are skipped. Raises DatasetError for an archive that must not be read."""
        if self.is_zip:
            with self._readable(str(self.path)):
                found = [info for info in self._archive.infolist() if not info.is_dir()]
            _check_archive(self.path, found)
            return sorted(info.filename for info in found if not _hidden(info.filename))
        if self.path.is_dir():
            return [name.as_posix() for name in _visible(self.path)]
        return [self.path.name] if self.path.is_file() else []

    @property
    def is_zip(self) -> bool:
        """Whether the names are those of an archive."""
        return self.path.suffix.lower() == ".zip" and self.path.is_file()

    def paths(self) -> list[Path]:
        """What it is on disk."""
        return [self.path] if self.path.is_file() else [self.path / name for name in self.names]

    def where(self, name: str) -> str:
        """A file's place, for messages."""
        return str(self.path / name if self.is_zip or self.path.is_dir() else self.path)

    def ending(self, suffix: str) -> list[str]:
        """Names that end like this, whatever the case."""
        return [name for name in self.names if name.lower().endswith(suffix)]

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return self._read(name, None)

    def head(self, name: str) -> bytes:
        """Its beginning, enough to see what it is."""
        return self._read(name, _HEAD)

    def json(self, name: str) -> Any:
        """A JSON file as plain values."""
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{self.where(name)}: no readable JSON ({error})", "export it again") from error

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    def _read(self, name: str, length: int | None) -> bytes:
        with self._readable(self.where(name)):
            if not self.is_zip:
                with open(self.where(name), "rb") as file:
                    return file.read(length)
            # A number is given always: zipfile would unpack up to 2 GiB and then cut it to what the header claims.
            # Content that goes on after the claimed end does not fit its checksum, and zipfile raises.
            with self._archive.open(name) as member:
                return member.read(length or self._archive.getinfo(name).file_size + 1)

    @contextmanager
    def _readable(self, where: str) -> Iterator[None]:
        try:
            yield
        except (*_BROKEN, OSError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(f"{where}: cannot be read ({reason})", "export or copy it again") from error


def _visible(directory: Path) -> list[PurePosixPath]:
    """Files below a directory, relative to it, sorted; hidden ones and what lies in hidden directories are skipped."""
    found = []
    for here, directories, files in os.walk(directory, followlinks=True):
        directories[:] = [d for d in directories if not _hidden(d)]
        found += [PurePosixPath(os.path.relpath(os.path.join(here, f), directory)) for f in files if not _hidden(f)]
    return sorted(found)


def _hidden(name: str) -> bool:
    return any(is_litter(part) for part in name.split("/"))


def _check_archive(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse names that lead out of the archive, or stand twice, and sizes that no label has."""
    seen: set[str] = set()
    for entry in entries:
        name, pure = entry.filename, PurePosixPath(entry.filename)
        if pure.is_absolute() or ".." in pure.parts or re.match(r"[A-Za-z]:", name) or re.search(r"[\0\\]", name):
            raise DatasetError(f"{path}: the entry {name!r} leads out of the archive", "do not trust this file")
        if name in seen:
            raise DatasetError(f"{path}: the entry {name!r} is in it twice", "export it again")
        seen.add(name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise DatasetError(f"{path}: the entry {name!r} is encrypted or not deflated", "pack it as a plain zip")
        if entry.file_size > MAX_ENTRY:
            claim = f"{path}: the entry {name!r} claims {entry.file_size >> 20} MiB"
            raise DatasetError(claim, f"no label needs more than {MAX_ENTRY >> 20} MiB; check where the file is from")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_TOTAL:
        fault = f"{path}: its files claim {total >> 30} GiB together, more than {MAX_TOTAL >> 30}"
        raise DatasetError(fault, "unpack it yourself if you trust it, and name the directory")
