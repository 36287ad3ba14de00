"""What a reader of label exports defines, and how the one that fits is found.

A format is one file, `ifrkit/labels/NAME.py` with a class `Labels`, or an entry point of the group `ifrkit.labels`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ifrkit.core.errors import DatasetError
from ifrkit.core.plugins import load, names, nearest
from ifrkit.core.records import Label
from ifrkit.labels._files import LabelFiles
from ifrkit.media.classes import ClassTable


class Entry(NamedTuple):
    """One label of an export. key: by which `read` finds it. names: what its frame may be called, the likeliest first.

    Names are without suffix, as in `_folders_find.Names`.
    """

    key: str
    names: tuple[str, ...]


class LabelReader(ABC):
    """The labels of one export. It is pickled into worker processes, so it holds its files and nothing opened."""

    def __init__(self, files: LabelFiles) -> None:
        self.files = files

    def __getstate__(self) -> dict[str, object]:
        return {"files": self.files}  # what was parsed is parsed again, where it is needed

    @classmethod
    @abstractmethod
    def claims(cls, files: LabelFiles) -> bool:
        """Whether these files look like this format."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Every label in it, in order."""

    @abstractmethod
    def table(self, keys: Sequence[str]) -> ClassTable:
        """The classes that the export itself names, or that occur in these labels: used without classes.yaml."""

    @abstractmethod
    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        """One label as class ids. size: (height, width) of its frame. Raises DatasetError that names the file."""

    def notes(self) -> list[str]:
        """Lines for `prepare --dry-run`: what was left out, and why."""
        return []


def known_format(name: str) -> str:
    """Check a format's name. Raises ValueError with the nearest one."""
    if name != "auto" and name not in names("labels"):
        raise ValueError(f"no label format {name!r}; {nearest(name, ['auto', *names('labels')])}")
    return name


def open_labels(path: Path, name: str) -> tuple[str, LabelReader]:
    """The reader of a file or directory, and its format. auto: the one that claims it.

    A directory without files is plain PNGs, none yet. Raises DatasetError for files that nobody claims, or several.
    """
    files = LabelFiles(path)
    if name == "auto":
        name = _guess(files) if files.names else "png"
    reader = load("labels", name)(files)
    if files.names and not reader.entries():
        raise DatasetError(f"{files.path}: holds no {name} labels", "give another --label-format, or auto")
    return name, reader


def _guess(files: LabelFiles) -> str:
    claimed = [name for name in names("labels") if load("labels", name).claims(files)]
    if len(claimed) > 1 and "png" in claimed:
        claimed.remove("png")  # other formats bring images along
    if not claimed:
        fault = f"{files.path}: none of its {len(files.names)} files is a label (first: {files.names[0]})"
        raise DatasetError(
            fault, f"known formats: {', '.join(names('labels'))}; unpack it if it holds several archives"
        )
    if len(claimed) > 1:
        raise DatasetError(f"{files.path}: may be {' or '.join(claimed)}", "say which with --label-format")
    return claimed[0]


@contextmanager
def well_formed(where: str, title: str) -> Iterator[None]:
    """Turn what a file of another shape makes Python raise into one line."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DatasetError(f"{where}: not as {title} writes it ({reason})", "export it again") from error
