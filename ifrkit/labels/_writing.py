"""Labels written as a labeling tool imports them: one after another, in constant memory however long the video is.

What a tool cannot leave open is written with two names that all formats share: `background` is what nobody labels, so
it is not drawn, and `__ignore__` (LabelMe's name) is what is ignored where a class `background` takes the rest.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.media.classes import BACKGROUND, IGNORED
from ifrkit.media.palette import distinct_colors


class LabelWriter(ABC):
    """Labels of one import. A context manager: files are complete when it is left.

    directory: it is made. labels: the classes that ids stand for; 255 is ignored.
    """

    def __init__(self, directory: Path, labels: LabelSpace) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.labels = directory, labels

    @abstractmethod
    def write(self, image: str, ids_hw: Label) -> None:
        """The label of a frame. image: the file name of the frame, as the tool shows it ("street_000031.png")."""

    def close(self) -> None:  # noqa: B027 (most formats have a file for each label, and nothing to complete)
        """Complete the files that hold several labels."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()


class Part(NamedTuple):
    """Where a label has one class."""

    name: str
    id: int
    mask_hw: NDArray[np.bool_]


class Box(NamedTuple):
    """Rows top..bottom-1 and columns left..right-1."""

    top: int
    left: int
    bottom: int
    right: int


def bounds(mask_hw: NDArray[np.bool_]) -> Box:
    """The smallest box around a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask_hw.any(axis)).tolist() for axis in (1, 0))
    return Box(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)


def parts(ids_hw: Label, labels: LabelSpace) -> Iterator[Part]:
    """What has to be drawn of a label, in the order of the ids. A label that is all background draws just that."""
    present = np.unique(ids_hw).tolist()
    names = [*labels.names, *[""] * (IGNORE - labels.num_classes), IGNORED]
    undrawn = BACKGROUND if BACKGROUND in labels.names else IGNORED
    drawn = [index for index in present if names[index] != undrawn]
    if not drawn and undrawn == BACKGROUND:
        drawn = present  # a frame without objects, not one that nobody has labeled
    for index in drawn:
        yield Part(names[index], index, ids_hw == index)


def names_to_draw(labels: LabelSpace) -> list[str]:
    """All names that `parts` may draw: the classes, and what is ignored where it has to be drawn."""
    return [*labels.names, *([IGNORED] if BACKGROUND in labels.names else [])]


class JsonList:
    """A JSON file that ends with one long list, written item by item."""

    def __init__(self, path: Path, head: str, tail: str) -> None:
        """head, tail: what stands around the items, the brackets of the list among it."""
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._file.write(head)
        self._tail, self._between = tail, "\n"

    def add(self, item: Any) -> None:
        """The next item."""
        self._file.write(self._between + json.dumps(item, ensure_ascii=False))
        self._between = ",\n"

    def close(self, more: str = "") -> None:
        """Write what follows the items. more: between them and the tail."""
        with self._file:
            self._file.write(f"\n{more}{self._tail}")


def toy_files(writer: type[LabelWriter], labels: Mapping[str, Label], classes: Sequence[str]) -> dict[str, bytes]:
    """The files that a writer makes, name -> content. labels: frame name -> ids, places in `classes`."""
    with TemporaryDirectory() as place:
        root = Path(place)
        with writer(root, LabelSpace(names=tuple(classes), colors=distinct_colors(len(classes)))) as opened:
            for name, ids_hw in labels.items():
                opened.write(f"{name}.png", ids_hw)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
