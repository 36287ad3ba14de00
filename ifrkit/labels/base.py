"""What a label format defines, and how the format that fits is found.

A format is one file, `ifrkit/labels/NAME.py` with a class `Labels`, or an entry point of the group `ifrkit.labels`.
Everything that a format needs is here: its base class `LabelReader`, the files of an export, and shapes to paint. A
format that can be written too names its `LabelWriter`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.core.plugins import load, names, nearest, spelled
from ifrkit.core.records import Label
from ifrkit.labels._files import LabelFiles
from ifrkit.labels._shapes import Shape, of_class, outline, outlines, paint, polygon, scribble, table_of_names
from ifrkit.labels._unread import unread
from ifrkit.labels._writing import LabelWriter, toy_files
from ifrkit.media.classes import ClassTable
from ifrkit.media.names import IMAGES

_PICTURES = IMAGES - {".png"} | {".gif"}

__all__ = [
    "Entry",
    "Export",
    "LabelFiles",
    "LabelReader",
    "LabelWriter",
    "Shape",
    "known_format",
    "of_class",
    "open_labels",
    "outline",
    "outlines",
    "paint",
    "polygon",
    "scribble",
    "table_of_names",
    "well_formed",
    "writer_of",
]


class Entry(NamedTuple):
    """One label of an export. key: by which `read` finds it. names: what its frame may be called, the likeliest first.

    Names are without suffix: `street/000031`, `street_000031` or `000031`.
    """

    key: str
    names: tuple[str, ...]


class LabelReader(ABC):
    """The labels of one export. It is pickled into worker processes, so it holds its files and nothing opened."""

    writer: ClassVar[type[LabelWriter] | None] = None
    """Its other half; None: this format is read only."""
    scribbles = False
    """Whether lines and points label what is under them, set before reading; else they are strays."""

    def __init__(self, files: LabelFiles) -> None:
        self.files = files

    def __getstate__(self) -> dict[str, object]:
        return {"files": self.files, "scribbles": self.scribbles}  # what was parsed is parsed again, where it is needed

    @classmethod
    @abstractmethod
    def claims(cls, files: LabelFiles) -> bool:
        """Whether these files look like this format."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Every label in it, in order."""

    def survey(self, labels: Mapping[str, tuple[int, int] | None]) -> None:
        """Look at all labels in use together, before `table` and `read`; what it finds is pickled along.

        labels: key -> (height, width) of its frame, None where that is not known. Raises DatasetError where all of them
        together are at fault; a fault of one is for `read` to say.
        """
        return

    @abstractmethod
    def table(self, keys: Sequence[str]) -> ClassTable:
        """The classes that the export itself names, or that occur in these labels: used without classes.yaml."""

    @abstractmethod
    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        """One label as class ids. size: (height, width) of its frame. Raises DatasetError that names the file."""

    def notes(self) -> list[str]:
        """Lines for `prepare --dry-run`: what was left out, and why."""
        return []

    @classmethod
    def make_toy(cls, labels: Mapping[str, Label], classes: Sequence[str]) -> dict[str, bytes]:
        """The files of an export of these labels, name -> content: contract tests read them back.

        labels: frame name -> ids, places in `classes`; 255 where nothing is labeled. A format with a writer has them
        from there.
        """
        if cls.writer is None:
            raise NotImplementedError
        return toy_files(cls.writer, labels, classes)


class Export(NamedTuple):
    """Labels on disk: their format, their reader, and what the user should know about how they were found."""

    format: str
    reader: LabelReader
    notes: list[str]


def known_format(name: str) -> str:
    """A format's name as it is written. Raises ValueError with the nearest one."""
    name = spelled(name)
    if name != "auto" and name not in names("labels"):
        raise ValueError(f"no label format {name!r}; {nearest(name, ['auto', *names('labels')])}")
    return name


def writer_of(name: str) -> type[LabelWriter]:
    """What writes a format. Raises ConfigError for one that is read only."""
    found: type[LabelReader] = load("labels", name)
    if found.writer is None:
        formats, _ = _loaded()
        written = ", ".join(name for name, labels in formats.items() if labels.writer is not None)
        raise ConfigError(f"labels of the format {spelled(name)} are read only", f"written are: {written}")
    return found.writer


def open_labels(path: Path, name: str, below: Collection[str] = ()) -> Export:
    """The labels in a file or directory. name: their format, or auto for the one that claims them.

    below: the directories in it that hold labels, where others hold something else.

    A directory without files is plain PNGs, none yet. Raises DatasetError for files that nobody claims, or several.
    """
    files = LabelFiles(path, below)
    notes: list[str] = []
    if name == "auto":
        name, notes = _guess(files) if files.names else ("png", [])
    reader = load("labels", name)(files)
    if files.names and not reader.entries():
        _refuse_unread(files)
        raise DatasetError(f"{files.path}: holds no {name} labels", "give another --label-format, or auto")
    return Export(name, reader, notes)


def _guess(files: LabelFiles) -> tuple[str, list[str]]:
    """The one format that claims the files, and a note for each format that does not load."""
    formats, notes = _loaded()
    claimed = [name for name, labels in formats.items() if labels.claims(files)]
    if len(claimed) > 1 and "png" in claimed:
        claimed.remove("png")  # other formats bring images along
    if not claimed:
        _refuse_unread(files)
        raise _unknown(files, formats, notes)
    if len(claimed) > 1:
        raise DatasetError(f"{files.path}: may be {' or '.join(claimed)}", "say which with --label-format")
    return claimed[0], notes


def _refuse_unread(files: LabelFiles) -> None:
    """Raises DatasetError where the files are of a tool whose format is known and not read."""
    if other := unread(files):
        what, first = other
        raise DatasetError(f"{files.where(first)}: this is {what.title}, which is not read", what.advice)


def _unknown(files: LabelFiles, formats: Collection[str], notes: Collection[str]) -> DatasetError:
    """The error for files that no format claims, by what they are. Raises it for text that cannot be read."""
    images = [name for name in files.names if PurePosixPath(name).suffix.lower() in _PICTURES]
    if images:
        fault = f"{files.path}: {len(images)} images that are not PNG, and no label that is read (first: {images[0]})"
        return DatasetError(fault, "export or save the labels as PNG; JPEG changes ids and colours")
    for name in files.ending(".json"):
        files.json(name)
    for suffix in (".txt", ".xml", ".csv", ".yaml", ".ndjson"):
        for name in files.ending(suffix):
            files.text(name)
    first = next((name for name in files.names if not name.endswith((".yaml", ".yml"))), files.names[0])
    fault = f"{files.path}: none of its {len(files.names)} files is a label (first: {first})"
    known = f"known formats: {', '.join(formats)}; unpack it if it holds several archives"
    return DatasetError(fault, "; ".join([known, *notes]))


def _loaded() -> tuple[dict[str, type[LabelReader]], list[str]]:
    """All formats that load. Another package's format may raise anything: it must not stop the others."""
    formats: dict[str, type[LabelReader]] = {}
    notes = []
    for name in names("labels"):
        try:
            formats[name] = load("labels", name)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            notes.append(f"label format {name} does not load, so it was not tried ({reason})")
    return formats, notes


@contextmanager
def well_formed(where: str, title: str) -> Iterator[None]:
    """Turn what a file of another shape makes Python raise into one line."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        if isinstance(error, TypeError | AttributeError):  # their text is for programmers
            reason = "a list, a text or a number of it is something else"
        raise DatasetError(f"{where}: not as {title} writes it ({reason})", "export it again") from error
