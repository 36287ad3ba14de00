"""Which files below a directory count: the one rule of all that looks for frames, videos and labels.

What systems leave is passed over, linked directories are read as others are, each directory once. What is passed
over is counted and named (`Left`).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ifrkit.core.encoding import readable
from ifrkit.media.litter import Left, is_litter
from ifrkit.media.numbering import natural


def walk(top: Path, left: Left, without: Path | None = None) -> Iterator[tuple[Path, list[Path]]]:
    """Directories below `top` (itself too) and their files, sorted. A link comes after all that is not a link.

    left: takes what is passed over. without: a directory that is not looked into.
    """
    seen: set[str] = set()
    waiting, links = deque([top]), deque[Path]()
    while waiting or links:
        here = waiting.popleft() if waiting else links.popleft()
        real = os.path.realpath(here)
        if without is not None and here != top and real == os.path.realpath(without):
            continue
        if real in seen:
            left.add(Left.LINK, below(here, top))
            continue
        seen.add(real)
        try:
            entries = sorted(here.iterdir(), key=lambda path: natural(path.name))
        except OSError as error:
            left.add(Left.UNREADABLE, f"{below(here, top)} ({error.strerror})")
            continue
        files = []
        for path in entries:
            if is_litter(path.name):
                left.add(Left.SYSTEM, below(path, top), _count(path))
            elif path.is_dir():
                (links if path.is_symlink() else waiting).append(path)
            elif path.is_file():
                files.append(path)
            else:
                left.add(Left.LINK if path.is_symlink() else Left.OTHER, below(path, top))
        yield here, files


def below(path: Path, top: Path) -> str:
    """A path relative to a directory above it, as text that can be shown."""
    return readable(path.relative_to(top).as_posix())


def _count(path: Path) -> int:
    """Files below a directory; any other thing counts as one."""
    if path.is_symlink() or not path.is_dir():
        return 1
    return sum(len(files) for _, _, files in os.walk(path))
