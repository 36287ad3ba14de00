"""What systems and programs leave between the user's files, and how a command says what it did not read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from ifrkit.artifacts.job import Display

_SYSTEM = re.compile(
    # Hidden; resource forks and archives of macOS; NAS (@eaDir, #recycle, #snapshot, @Recycle); Windows; GoPro proxies.
    r"\..*|__macosx|icon\r|@eadir|@recycle|@recently-snapshot|@tmp|#recycle|#snapshot|synofile_thumb.*|.*@syno\w+"
    r"|\$recycle\.bin|recycler|system volume information|found\.\d{3}|thumbs\.db.*|ehthumbs.*\.db|desktop\.ini|~\$.*"
    r"|lost\+found|network trash folder|temporary items|__pycache__|.*\.(thm|lrv)",
    re.IGNORECASE,
)


def is_litter(name: str) -> bool:
    """Whether a file or directory of this name (one part of a path) is hidden, or was made by a system."""
    return _SYSTEM.fullmatch(name) is not None


def shown(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many more."""
    names = list(names)
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@dataclass
class Left:
    """What was not read, by its reason. Every command says it by `lines`."""

    reasons: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """reason -> what is left out, and of how many files it consists."""

    SYSTEM: ClassVar = "hidden or made by a system"
    OTHER: ClassVar = "neither image nor video"
    STRAY: ClassVar = "no number puts them into a series of their directory"
    LINK: ClassVar = "links to nothing, or to what is read already"
    UNREADABLE: ClassVar = "cannot be read"
    MASKS: ClassVar = "labels beside their frames"
    SIZE: ClassVar = "not of the size that most frames of their video have"

    def add(self, reason: str, name: str, files: int = 1) -> None:
        """Leave out a file, or a directory of so many; an empty one is nothing."""
        if files:
            self.reasons.setdefault(reason, []).append((name, files))

    def extend(self, other: Left) -> None:
        """Leave out what the other one does."""
        for reason, entries in other.reasons.items():
            self.reasons.setdefault(reason, []).extend(entries)

    def tell(self, display: Display, place: str = "") -> None:
        """Say it: a warning where frames may be lost."""
        for reason, line in zip(self.reasons, self.lines(place), strict=True):
            (display.info if reason in (self.SYSTEM, self.OTHER, self.MASKS) else display.warn)(line)

    def lines(self, place: str = "") -> list[str]:
        """One line a reason: how many files, why, and the first of them. place: what stands before ("labels: ")."""
        return [
            f"{place}{sum(n for _, n in entries)} files left out, {reason}: {shown(name for name, _ in entries)}"
            for reason, entries in self.reasons.items()
        ]
