"""Plain PNG labels: grey or indexed images hold ids, RGB ones colours of classes.yaml."""

from __future__ import annotations

from collections.abc import Sequence

from ifrkit.core.records import Label
from ifrkit.labels._to_png import Writer
from ifrkit.labels.base import Entry, LabelFiles, LabelReader
from ifrkit.media.classes import ClassTable, derive_table
from ifrkit.media.images import read_raw_label


class Labels(LabelReader):
    """LABELS/VIDEO/STEM.png, and the other names that a frame may have."""

    writer = Writer

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return bool(files.ending(".png"))

    def entries(self) -> list[Entry]:
        return [Entry(name, (name[: -len(".png")],)) for name in self.files.ending(".png")]

    def table(self, keys: Sequence[str]) -> ClassTable:
        return derive_table((where, read_raw_label(where, self.files.read(key))) for key, where in self._places(keys))

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self.files.where(key)
        return table.convert(read_raw_label(where, self.files.read(key), size), where)

    def _places(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        return [(key, self.files.where(key)) for key in keys]
