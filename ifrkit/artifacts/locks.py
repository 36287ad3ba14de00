"""One writer for each output: an advisory lock file beside it, which the kernel releases when the process dies.

What the file says (process and host) is for people. Nothing is decided by it, so that a number that another process has
by now, or a file that a dead one left, locks nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ifrkit.core.errors import LockedError
from ifrkit.core.faults import named

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
        with named(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):  # a file that nobody holds locks nothing
            path.unlink()  # while still held, so that nobody can hold a name that is going away
        _held.discard(descriptor)
        os.close(descriptor)


def is_locked(target: Path) -> bool:
    """Whether some process writes that output now."""
    try:
        descriptor = os.open(lock_path(target), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        with named(lock_path(target)):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(path: Path, target: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        try:
            with named(path):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 300, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            remedy = "wait for it, or stop it"
            raise LockedError(f"{target} is being written by process {holder}", remedy) from None
        except OSError:
            os.close(descriptor)
            raise
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)  # its holder removed the file just now: lock the new one
