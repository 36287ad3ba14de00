"""Plain PNG labels: ids or colours, in whatever way a PNG stores them (`ifrkit/media/meaning.py` tells which)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from ifrkit.core.errors import DatasetError
from ifrkit.core.records import Label
from ifrkit.labels._to_png import Writer
from ifrkit.labels.base import Entry, LabelFiles, LabelReader
from ifrkit.media.classes import ClassTable
from ifrkit.media.label_image import read_label_image
from ifrkit.media.litter import shown
from ifrkit.media.meaning import Survey, class_ids
from ifrkit.media.names import IMAGES


class Labels(LabelReader):
    """LABELS/VIDEO/STEM.png, and the other names that a frame may have."""

    writer = Writer

    def __init__(self, files: LabelFiles) -> None:
        super().__init__(files)
        self._survey: Survey | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_survey": self._survey}

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return bool(files.ending(".png"))

    def entries(self) -> list[Entry]:
        return [Entry(name, (name[: -len(".png")],)) for name in self.files.ending(".png")]

    def survey(self, labels: Mapping[str, tuple[int, int] | None]) -> None:
        found = Survey()
        for key, size in labels.items():
            where = self.files.where(key)
            try:
                found.add(read_label_image(where, self.files.read(key), size), where)
            except DatasetError:
                continue  # `read` says it
        self._survey = found

    def table(self, keys: Sequence[str]) -> ClassTable:
        survey = self._surveyed(keys)
        if not survey.seen and keys:  # none has the size of its frame; `read` will say it, for all of them
            self.survey(dict.fromkeys(keys))
            survey = self._surveyed(keys)
        if not survey.seen and keys:  # not one can be read: say why
            read_label_image(self.files.where(keys[0]), self.files.read(keys[0]))
        return survey.derive()

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self.files.where(key)
        image = read_label_image(where, self.files.read(key), size)
        survey = self._survey or self._surveyed([entry.key for entry in self.entries()])
        if image.storage not in survey.seen:
            survey.add(image, where)
        return class_ids(image, survey.reading(image.storage, table), table, where)

    def notes(self) -> list[str]:
        count = self._survey.erased if self._survey else 0
        notes = [f"{count} labels have transparent pixels: these count as not labeled"] if count else []
        if others := [name for name in self.files.names if PurePosixPath(name).suffix.lower() in IMAGES - {".png"}]:
            notes.append(f"{len(others)} images among the labels left out, they are not PNG: {shown(others)}")
        return notes

    def _surveyed(self, keys: Sequence[str]) -> Survey:
        if self._survey is None:
            self.survey(dict.fromkeys(keys))
        assert self._survey is not None
        return self._survey
