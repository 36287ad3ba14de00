"""Remove what no run can use any more: dead partial directories, leftovers of replaced artifacts, stale lock files.

An artifact whose commit was cut off is put in its place instead. Runs may come and go meanwhile: what vanishes is not
an error, and everything is judged once more under the lock before it is removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ifrkit.artifacts.locks import LOCK, is_locked, locked
from ifrkit.artifacts.manifest import FILE
from ifrkit.artifacts.place import SUPERSEDED
from ifrkit.artifacts.store import PARTIAL, SCRATCH, has_state, is_finished, partial_path, settle, unsettled
from ifrkit.core.errors import LockedError


@dataclass(frozen=True)
class Item:
    """Something that is not an artifact.

    garbage: gc may remove it; removed: it has; restored: it is an artifact now.
    """

    path: Path
    size: int
    """Bytes."""
    why: str
    garbage: bool
    removed: bool = False
    restored: bool = False


def collect(workspace: Path, *, interrupted: bool = False, remove: bool = True) -> list[Item]:
    """Look at everything in a workspace that is not an artifact, and remove what is garbage.

    interrupted: also partial directories that hold resume state. What a running process holds is never touched.
    """
    items = []
    for path, target in _leftovers(workspace):
        size, restored = _size(path), unsettled(target) and remove and _restore(target)
        if restored and not os.path.lexists(path):
            items.append(Item(path, size, f"a commit that was cut off: now {target}", garbage=False, restored=True))
            continue
        why, garbage = _judge(path, target, interrupted)
        items.append(Item(path, size, why, garbage, removed=garbage and remove and _remove(path, target, interrupted)))
    return items


def _leftovers(workspace: Path) -> Iterator[tuple[Path, Path]]:
    """Everything that is not an artifact, with the output that it belongs to."""
    for path in sorted(workspace.glob("*/.*")):
        for prefix in (PARTIAL, SUPERSEDED, LOCK):
            if path.name.startswith(prefix):
                name = path.name.removeprefix(prefix)
                yield path, path.with_name(name.rpartition("-")[0] if prefix == SUPERSEDED else name)
    for path in sorted(workspace.glob(f"*/[!.]*/{SCRATCH}")):
        if (path.parent / FILE).is_file():
            yield path, path.parent


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a directory; what goes away meanwhile counts nothing."""
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    with contextlib.suppress(OSError):
        total += 0 if path.is_dir() else path.lstat().st_size
    return total


def _judge(path: Path, target: Path, interrupted: bool) -> tuple[str, bool]:
    return ("a run is writing it", False) if is_locked(target) else _judge_idle(path, target, interrupted)


def _judge_idle(path: Path, target: Path, interrupted: bool) -> tuple[str, bool]:
    if path.name.startswith(LOCK):
        return "a lock that nobody holds", True
    if path.name == SCRATCH:
        return "state of a run that is done", True
    if unsettled(target):
        return "a commit that was cut off: the next run or gc puts it in place", False
    if path.name.startswith(SUPERSEDED):
        return "replaced with --force", True
    if path == partial_path(target) and has_state(path) and not is_finished(path):
        return "an interrupted run: --resume continues it", interrupted
    return "left by a run that died", True


def _restore(target: Path) -> bool:
    """Put an artifact in its place, if no run has it. Whether that was done."""
    try:
        with locked(target):
            return bool(settle(target))
    except LockedError:
        return False


def _remove(path: Path, target: Path, interrupted: bool) -> bool:
    try:
        with locked(target):  # so that no run starts in it meanwhile; removes the lock file too
            # Judged once more: a run may have come and gone, and left what can be resumed.
            garbage = _judge_idle(path, target, interrupted)[1]
            if garbage and path.is_dir():
                shutil.rmtree(path)
            return garbage
    except LockedError:
        return False
