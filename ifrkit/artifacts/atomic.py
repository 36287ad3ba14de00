"""Files that appear whole or not at all, and paths that stay where they belong."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ifrkit.core.errors import ArtifactError, ResourceError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that readers see complete or not at all, also after a power cut."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    fsync_dir(path.parent)


def fsync_dir(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(root: Path) -> None:
    """Make every file and name below a directory durable."""
    for directory, _, names in os.walk(root, topdown=False):
        for name in names:
            with (Path(directory) / name).open("rb") as file:
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


@contextlib.contextmanager
def resource_errors(what: str) -> Iterator[None]:
    """Turn a full disk and exhausted memory (host or device) into ResourceError. what: names the output."""
    try:
        yield
    except MemoryError as error:
        raise ResourceError(f"{what}: out of memory", "use a smaller batch, crop or network") from error
    except (OSError, RuntimeError) as error:
        if is_disk_full(error):
            raise ResourceError(f"{what}: the disk took no more ({_first_line(error)})", "free some space") from error
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error):  # torch's, unimported
            reason = _first_line(error)
            raise ResourceError(f"{what}: out of memory ({reason})", "use a smaller batch, crop or network") from error
        raise


def is_disk_full(error: BaseException) -> bool:
    """Whether the disk, a quota or a file-size limit took no more. HDF5 says so only in its text."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    found = re.search(r"errno = (\d+)", str(error))
    return found is not None and int(found[1]) in _FULL


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
