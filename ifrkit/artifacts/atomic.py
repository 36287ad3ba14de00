"""Files that appear whole or not at all, and paths that stay where they belong."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ifrkit.core.errors import ArtifactError
from ifrkit.core.faults import named


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file that readers see complete or not at all; durable: also after a power cut.

    What a killed run leaves of it has a hidden name (`.NAME.partial`), which a commit never takes for payload. Errors
    name the path.
    """
    with open_atomic(path, durable=durable) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomic(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write, and to read again, that gets its name at the end. See `write_atomic`."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with named(path), partial.open("w+b") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that comes first is the one to tell
            partial.unlink(missing_ok=True)
        raise
    if durable:
        fsync_dir(path.parent)


def fsync_dir(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(root: Path) -> None:
    """Make every file and name below a directory durable."""
    for directory, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(directory) / name
            with named(path), path.open("rb") as file:
                os.fsync(file.fileno())
        fsync_dir(Path(directory))


def safe_join(root: Path, name: str) -> Path:
    """`root/name`, where name is a relative POSIX path that stays inside root, symlinks followed.

    Raises ArtifactError for anything else: a manifest may come from a stranger.
    """
    pure = PurePosixPath(name)
    plain = bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and not re.search(r"[\0\\]", name)
    if plain:
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # a loop of symlinks, too long, no valid text
            path = root / pure
            path.is_symlink()  # asks the file system whether this can be a name at all
            if path.resolve().is_relative_to(root.resolve()):
                return path
    raise ArtifactError(f"{root}: the path {name!r} leaves its artifact", "do not trust this one")
