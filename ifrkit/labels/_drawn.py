"""Formats of drawn shapes: what has no area is left out by name, it must not block all other labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from ifrkit.core.errors import DatasetError
from ifrkit.labels._files import LabelFiles
from ifrkit.labels._shapes import Shape
from ifrkit.labels.base import LabelReader

_MOST_SHOWN = 3


class DrawnLabels(LabelReader):
    """A reader of points and outlines."""

    def __init__(self, files: LabelFiles) -> None:
        super().__init__(files)
        self._strays: list[str] = []

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_strays": self._strays}

    @abstractmethod
    def drawn(self, key: str) -> Sequence[Shape]:
        """The shapes of a label, masks without their pixels. Raises DatasetError."""

    def survey(self, labels: Mapping[str, tuple[int, int] | None]) -> None:
        self._strays = []
        for key in labels:
            try:
                shapes = self.drawn(key)
            except DatasetError:
                continue  # `read` says it
            self._strays += [f"{shape.stray} of class {shape.name!r} in {key}" for shape in shapes if shape.stray]

    def notes(self) -> list[str]:
        if not self._strays:
            return []
        more = len(self._strays) - _MOST_SHOWN
        shown = ", ".join(self._strays[:_MOST_SHOWN]) + (f", and {more} more" if more > 0 else "")
        return [f"{len(self._strays)} shapes without an area left out: {shown}"]
