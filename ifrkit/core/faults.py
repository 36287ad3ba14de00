"""What the operating system refuses (space, memory, permission, a broken disk), as one line with its remedy.

Such an error is not a bug of the program: it ends with exit code 5 and names the path.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ifrkit.core.errors import IfrkitError, ResourceError

_PLACE = "allow it (chmod, chown), or name another --workspace or --out"
_SPACE = "free some space and run it again"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: "free some space, or ask for more (quota), and run it again",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EACCES: _PLACE,
    errno.EPERM: _PLACE,
    errno.EROFS: "name a place where writing is allowed (--workspace, --out, or another project)",
    errno.EIO: "the disk or its connection fails: look into the system's log, then run it again",
    errno.ESTALE: "mount the file system again, then run it again",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs: the system has too many open files",
    errno.EAGAIN: "raise the limit on processes (ulimit -u)",
    errno.ENOLCK: "name a --workspace on a file system that knows locks",
    errno.EOPNOTSUPP: "name a --workspace on a file system that knows locks",
    errno.ENAMETOOLONG: "use shorter names",
    errno.ENOENT: "something took it away meanwhile: run it again",
}
PASSING = frozenset({errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""Failures that say nothing about the file which was to be read."""
_MEMORY = re.compile(
    r"(can't|cannot|unable to|failed to|could not) (allocate|mmap|map segment)|alloc_failed|bad.?alloc"
    r"|out of memory|(not enough|insufficient) (shared )?memory|can't start new thread|killed by signal: killed",
    re.I,
)
"""What torch, CUDA, OpenCV, ONNX Runtime, the loader of libraries and Python's threads say when memory is short."""
_STOPPED = re.compile(r"killed by signal: ([^.]+)")
"""What torch says of a loading process that somebody ended; `Killed` is most often the system, short of memory."""
_LESS = "use a smaller batch, crop or network, fewer workers, or raise the limit (ulimit -v)"


@contextlib.contextmanager
def resource_errors(what: str) -> Iterator[None]:
    """Turn what the system refuses into ResourceError. what: names the work, where the error itself has no path."""
    try:
        yield
    except Exception as error:
        known = resource_error(error, what)
        if known is None:
            raise
        raise known from error


def resource_error(error: BaseException, what: str) -> ResourceError | None:
    """The ResourceError that says the same; None for an error of another kind."""
    if isinstance(error, IfrkitError):
        return None
    number = _number(error)
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _short_of_memory(error):
        reason = _first_line(error) or "no more to be had"
        return ResourceError(f"{what}: out of memory ({reason})", _LESS)
    if stopped := _STOPPED.search(str(error)):
        return ResourceError(f"{what}: one of its processes was ended by a signal ({stopped[1]})", "run it again")
    if number is None:
        return None
    path = _path(error) or what
    return ResourceError(f"{path}: {os.strerror(number)}", _REMEDIES.get(number, "run it again"))


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Give an error of the system the path that it happened at: writing to an open file tells none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def _number(error: BaseException) -> int | None:
    """The errno. HDF5 says it only in its text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in errno.errorcode else None
    found = re.search(r"errno = (\d+)", str(error)) if isinstance(error, OSError | RuntimeError) else None
    return int(found[1]) if found and int(found[1]) in errno.errorcode else None


def _path(error: BaseException) -> str:
    names = [getattr(error, name, None) for name in ("filename", "filename2")]
    return " -> ".join(os.fsdecode(name) for name in names if isinstance(name, str | bytes))


def _short_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or _MEMORY.search(str(error)) is not None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")
