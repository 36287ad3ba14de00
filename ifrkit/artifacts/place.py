"""Put a finished directory in its place: what was there is the old artifact until the new one is there.

Where the file system cannot let two names change places at once, the old one is set aside for a moment; `settle`
(`store.py`) puts it back if a crash comes just then.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ifrkit.artifacts.atomic import fsync_dir
from ifrkit.artifacts.manifest import FILE

SUPERSEDED = ".superseded-"
"""Before the name of an artifact that was set aside, and the number of a process after it."""
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


def taken(target: Path) -> bool:
    """Whether something is there that is not an artifact: a file, or a directory that holds something."""
    if not os.path.lexists(target) or (target / FILE).is_file():
        return False
    return not target.is_dir() or any(target.iterdir())


def put(partial: Path, target: Path) -> None:
    """Rename a finished directory to the target, and remove the artifact that was there."""
    aside = target.with_name(f"{SUPERSEDED}{target.name}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    if not target.is_dir():
        partial.rename(target)
    elif not any(target.iterdir()):
        target.rmdir()
        partial.rename(target)
    elif _exchange(partial, target):
        partial.rename(aside)
    else:
        target.rename(aside)
        try:
            partial.rename(target)
        except BaseException:
            if not target.exists():
                aside.rename(target)
            raise
    fsync_dir(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Let two directories change places at once. False where system or file system cannot."""
    import ctypes  # only here, and a dry run puts nothing

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    names = (os.fsencode(first), os.fsencode(second))
    return rename is not None and rename(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0
