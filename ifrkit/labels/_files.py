"""The files of a label export: one file, a directory, or a zip archive, read by name and never unpacked to disk."""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ifrkit.core.encoding import decode
from ifrkit.core.errors import DatasetError
from ifrkit.core.limits import limit, raised
from ifrkit.media.litter import Left, is_litter
from ifrkit.media.walk import walk

_HEAD = 1 << 16
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|(?:\[[^"\[\]{}]*+\][,\s]*+)++|[\[\]{}:]', re.S)
"""Of JSON: strings, runs of lists of numbers, brackets, colons."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
"""What zipfile raises for what is damaged."""


class LabelFiles:
    """Files below `path` by their names, "/" between the parts. A directory with one zip in it is that zip.

    below: the only directories in it that count; none for all.
    """

    def __init__(self, path: Path, below: Collection[str] = ()) -> None:
        self.path = path
        self._below = frozenset(below)
        self._keys: dict[str, frozenset[str]] = {}
        self.left = Left()
        """What is passed over."""
        self.used: set[str] = set()
        """Files that were read whole, not only looked at."""
        self._inside = _visible(path, self.left) if path.is_dir() else []
        if len(self._inside) == 1 and self._inside[0].lower().endswith(".zip"):
            self.path = path / self._inside[0]

    def __getstate__(self) -> dict[str, Any]:
        own = {"path": self.path, "names": self.names, "left": self.left, "_below": self._below}
        return {**own, "_keys": {}, "_inside": [], "used": set()}  # an open archive stays in its process

    @cached_property
    def names(self) -> list[str]:
        """All files that count, sorted. Raises DatasetError for an archive that must not be read."""
        if self.is_zip:
            with self._readable(str(self.path)):
                found = [info for info in self._archive.infolist() if not info.is_dir()]
            _check_archive(self.path, found)
            hidden = {info.filename for info in found if any(is_litter(part) for part in info.filename.split("/"))}
            for name in sorted(hidden):
                self.left.add(Left.SYSTEM, name)
            return sorted(info.filename for info in found if info.filename not in hidden)
        if self.path.is_dir():
            return [name for name in self._inside if not self._below or name.rpartition("/")[0] in self._below]
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
        self.used.add(name)
        return self._read(name, None)

    def head(self, name: str) -> bytes:
        """Its beginning in UTF-8, enough to see what it is."""
        data = self._read(name, _HEAD)
        try:
            # What is cut in two at its end does not count.
            return decode(data if len(data) < _HEAD else data[: _HEAD - 4]).encode()
        except UnicodeError:
            return data

    def keys(self, name: str) -> frozenset[str]:
        """The keys of a JSON object, or of the first one in a list; "[]" is among them for a list.

        However long its values are: some tools write the image first. Of a file that is cut off, those that are there.
        """
        if name not in self._keys:
            data = self._read(name, None)
            try:
                self._keys[name] = _top_keys(decode(data))
            except UnicodeError:
                self._keys[name] = frozenset()
        return self._keys[name]

    def text(self, name: str) -> str:
        """A text file, in UTF-8 or what tools on Windows write. Raises DatasetError."""
        try:
            return decode(self.read(name))
        except UnicodeError as error:
            raise DatasetError(f"{self.where(name)}: cannot be read as text ({error})", "save it as UTF-8") from error

    def json(self, name: str) -> Any:
        """A JSON file as plain values."""
        text = self.text(name)
        try:
            tree = json.loads(text)
            if _HALF.search(text):
                json.dumps(tree, ensure_ascii=False).encode()
            return tree
        except (ValueError, RecursionError) as error:
            reason = str(error)
            if isinstance(error, RecursionError):
                reason = "it is nested too deeply"
            elif isinstance(error, UnicodeEncodeError):
                reason = "it holds half a character (\\ud...), which cannot be text"
            elif not isinstance(error, json.JSONDecodeError):
                reason = "a number of it has thousands of digits"
            raise DatasetError(f"{self.where(name)}: no readable JSON ({reason})", "export it again") from error

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    def _read(self, name: str, length: int | None) -> bytes:
        with self._readable(self.where(name)):
            if not self.is_zip:
                with open(self.where(name), "rb") as file:
                    if length is None:
                        _check_size(self.where(name), os.fstat(file.fileno()).st_size)
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


def _top_keys(text: str) -> frozenset[str]:
    keys: set[str] = set()
    depth, listed, last = 0, text.lstrip()[:1] == "[", ""
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "{[":
            depth += 1
        elif mark in "]}":
            depth -= 1
            if depth <= (1 if listed else 0):
                break
        elif mark == ":":
            if depth == (2 if listed else 1):
                keys.add(last)
        elif mark[0] == '"':
            last = mark[1:-1]
    return frozenset(keys | {"[]"} if listed else keys)


def _visible(directory: Path, left: Left) -> list[str]:
    """Files below a directory, relative to it, sorted by the parts of their names."""
    found = (path.relative_to(directory) for _, files in walk(directory, left) for path in files)
    return [path.as_posix() for path in sorted(found)]


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
        _check_size(f"{path}: the entry {name!r}", entry.file_size)
    total = sum(entry.file_size for entry in entries)
    if total > limit("EXPORT_GIB") << 30:
        fault = f"{path}: its files claim {total >> 30} GiB together, more than {limit('EXPORT_GIB')}"
        raise DatasetError(fault, f"unpack it yourself if you trust it, or {raised('EXPORT_GIB')}")


def _check_size(what: str, size: int) -> None:
    """Refuse a file from what it claims: a few kB in an archive can hold gigabytes of zeros."""
    if size > limit("FILE_MIB") << 20:
        few = f"no label needs more than {limit('FILE_MIB')} MiB"
        raise DatasetError(f"{what} claims {size >> 20} MiB", f"{few}; check where it is from, or {raised('FILE_MIB')}")
