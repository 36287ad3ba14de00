"""One writer for each output: an advisory lock file beside it, which the kernel releases when the process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ifrkit.core.errors import LockedError

LOCK = ".lock-"

_held: set[int] = set()


def _close_in_child() -> None:
    # A forked loader worker must not keep the lock of a run that was killed.
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


def lock_path(target: Path) -> Path:
    """The lock file of an output."""
    return target.with_name(LOCK + target.name)


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of an output. Raises LockedError that names the process which holds it."""
    path = lock_path(target)
    descriptor = _acquire(path, target)
    _held.add(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # while still held, so that nobody can hold a name that is going away
        _held.discard(descriptor)
        os.close(descriptor)


def is_locked(target: Path) -> bool:
    """Whether some process writes that output now."""
    try:
        descriptor = os.open(lock_path(target), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(path: Path, target: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            remedy = "wait for it, or stop it"
            raise LockedError(f"{target} is being written by process {pid}", remedy) from None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)  # its holder removed the file just now: lock the new one
