"""Files that are either whole or absent, and paths that stay inside their artifact."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ifrkit.errors import ArtifactError, ResourceError


def fsync_path(path: Path) -> None:
    """Force a file, or a directory's entries, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file in one step: a reader sees the old bytes or the new ones, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_path(path.parent)


def safe_join(root: Path, name: str) -> Path:
    """`root / name`, refused (ArtifactError) when it would leave root, also through a symbolic link."""
    base = root.resolve()
    path = (base / name).resolve()
    if path == base or not path.is_relative_to(base):
        raise ArtifactError(f"{root}: the path {name!r} leaves its artifact", "do not use this artifact")
    return path


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """A full disk or exhausted memory becomes a ResourceError that names the place."""
    full = {errno.ENOSPC: "no space left", errno.EFBIG: "file size limit reached", errno.EDQUOT: "disk quota exceeded"}
    try:
        yield
    except OSError as error:
        if error.errno in full:
            raise ResourceError(f"{where}: {full[error.errno]}", "free space or choose another --workspace") from error
        raise
    except MemoryError as error:
        raise ResourceError(f"{where}: out of memory", "use a smaller batch or crop") from error
