"""Remove what no run can use any more: dead partial directories, leftovers of replaced artifacts, stale lock files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ifrkit.artifacts.locks import LOCK, is_locked, locked
from ifrkit.artifacts.store import PARTIAL, SUPERSEDED, has_state
from ifrkit.core.errors import LockedError


@dataclass(frozen=True)
class Item:
    """Something that is not an artifact. garbage: gc may remove it; removed: it has."""

    path: Path
    size: int
    """Bytes."""
    why: str
    garbage: bool
    removed: bool = False


def collect(workspace: Path, *, interrupted: bool = False, remove: bool = True) -> list[Item]:
    """Look at everything in a workspace that is not an artifact, and remove what is garbage.

    interrupted: also partial directories that hold resume state. What a running process holds is never touched.
    """
    items = []
    for path, target in _leftovers(workspace):
        why, garbage = _judge(path, target, interrupted)
        size = sum(p.lstat().st_size for p in [path, *path.rglob("*")] if not p.is_dir())
        items.append(Item(path, size, why, garbage, removed=garbage and remove and _remove(path, target)))
    return items


def _leftovers(workspace: Path) -> Iterator[tuple[Path, Path]]:
    """Everything that is not an artifact, with the output that it belongs to."""
    for path in sorted(workspace.glob("*/.*")):
        for prefix in (PARTIAL, SUPERSEDED, LOCK):
            if path.name.startswith(prefix):
                name = path.name.removeprefix(prefix)
                yield path, path.with_name(name.rpartition("-")[0] if prefix == SUPERSEDED else name)


def _judge(path: Path, target: Path, interrupted: bool) -> tuple[str, bool]:
    if is_locked(target):
        return "a run is writing it", False
    if path.name.startswith(LOCK):
        return "a lock that nobody holds", True
    if path.name.startswith(SUPERSEDED):
        return "replaced with --force", True
    if has_state(path):
        return "an interrupted run: --resume continues it", interrupted
    return "left by a run that died", True


def _remove(path: Path, target: Path) -> bool:
    try:
        with locked(target):  # so that no run starts in it meanwhile; removes the lock file too
            if path.is_dir():
                shutil.rmtree(path)
            return True
    except LockedError:
        return False
