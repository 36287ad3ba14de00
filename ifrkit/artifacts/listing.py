"""`files.jsonl`: the files of an artifact, one a line, in the order of their names.

A video of ten hours has a million label images: nothing here holds more than one line, or the names of one directory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ifrkit.artifacts.atomic import open_atomic
from ifrkit.core.bounds import Count
from ifrkit.core.config import Config

LIST = "files.jsonl"
_LONGEST = 64 << 10
"""Bytes of a line: a path has at most 4096, each may take 6."""


class FileEntry(Config):
    """One file. path: relative, POSIX, inside the artifact."""

    path: str
    size: Count
    """Bytes."""
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


def entry(directory: Path, name: str) -> FileEntry:
    """A file as it is now. name: relative to the directory."""
    path = directory / name
    return FileEntry(path=name, size=path.stat().st_size, sha256=sha256(path))


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_list(path: Path, entries: Iterable[FileEntry]) -> FileEntry:
    """Write a list line by line. Returns the entry of the list itself."""
    with open_atomic(path) as file:
        for each in entries:
            file.write(json.dumps(each.tree()).encode() + b"\n")
    return entry(path.parent, path.name)


def read_list(path: Path) -> Iterator[FileEntry]:
    """What `write_list` wrote. Raises ValueError for anything else."""
    with path.open("rb") as file:
        while line := file.readline(_LONGEST):
            yield FileEntry.of(json.loads(line))


def walk(directory: Path, above: str = "") -> Iterator[str]:
    """Names of all files below a directory, relative, POSIX, in the order of these texts. above: what they begin with.

    A symlink is a file.
    """
    with os.scandir(directory) as found:
        names = sorted(each.name + "/" * each.is_dir(follow_symlinks=False) for each in found)
    for name in names:
        if name.endswith("/"):
            yield from walk(directory / name, above + name)
        else:
            yield above + name
