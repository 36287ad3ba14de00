"""Formats of drawn shapes: what has no area is left out by name, it must not block all other labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from ifrkit.core.errors import DatasetError
from ifrkit.labels._files import LabelFiles
from ifrkit.labels._shapes import Shape
from ifrkit.labels.base import LabelReader
from ifrkit.media.litter import shown

_MOST_SHOWN = 3


class DrawnLabels(LabelReader):
    """A reader of points and outlines."""

    def __init__(self, files: LabelFiles) -> None:
        super().__init__(files)
        self._strays: list[str] = []
        self._unclear: list[str] = []

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_strays": self._strays, "_unclear": self._unclear}

    @abstractmethod
    def drawn(self, key: str) -> Sequence[Shape]:
        """The shapes of a label, masks without their pixels. Raises DatasetError."""

    def survey(self, labels: Mapping[str, tuple[int, int] | None]) -> None:
        self._strays, self._unclear, areas = [], [], 0
        for key in labels:
            try:
                shapes = self.drawn(key)
            except DatasetError:
                continue  # `read` says it
            self._strays += [f"{shape.stray} of class {shape.name!r} in {key}" for shape in shapes if shape.stray]
            self._unclear += [f"one of {s.unclear} in {key}" for s in shapes if s.unclear and not s.stray]
            areas += sum(not shape.stray for shape in shapes)
        if self._strays and not areas:
            first = shown(self._strays, _MOST_SHOWN)
            raise DatasetError(
                f"{self.files.path}: none of its {len(self._strays)} shapes has an area: {first}",
                "export polygons or masks: boxes, lines and points do not say which pixels they mean",
            )

    def notes(self) -> list[str]:
        notes = []
        if self._strays:
            notes.append(f"{len(self._strays)} shapes without an area left out: {shown(self._strays, _MOST_SHOWN)}")
        if self._unclear:
            what = "shapes have no class, or several: what is under them is ignored"
            notes.append(f"{len(self._unclear)} {what}: {shown(self._unclear, _MOST_SHOWN)}")
        return notes
