"""Polygons as Cityscapes has them: NAME_gtFine_polygons.json (or gtCoarse), drawn in order.

{"imgHeight": 1024, "imgWidth": 2048, "objects": [{"label": "road", "polygon": [[0, 769], [290, 574], ...]}, ...]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from ifrkit.core.records import Label
from ifrkit.labels.base import (
    Entry,
    LabelFiles,
    LabelReader,
    Shape,
    outlines,
    paint,
    polygon,
    table_of_names,
    well_formed,
)
from ifrkit.media.classes import ClassTable
from ifrkit.media.images import check_size

_END = "_polygons.json"
_GROUP = "group"


class Labels(LabelReader):
    """Frames may be named NAME or NAME_leftImg8bit. A group ("cargroup") without a class of its own counts as "car"."""

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return bool(files.ending(_END))

    def entries(self) -> list[Entry]:
        stems = ((name, re.sub(r"_gt[A-Za-z]+$", "", name[: -len(_END)])) for name in self.files.ending(_END))
        return [Entry(name, (stem, f"{stem}_leftImg8bit")) for name, stem in stems]

    def table(self, keys: Sequence[str]) -> ClassTable:
        names = {shape.name for key in keys for shape in self._parse(key)[1]}
        whole = {name.removesuffix(_GROUP) if name.removesuffix(_GROUP) in names else name for name in names}
        return table_of_names(str(self.files.path), whole)

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self.files.where(key)
        own_size, shapes = self._parse(key)
        check_size(where, own_size, size)
        return paint(where, size, (s if s.name in table.by_name else _single(s) for s in shapes), table)

    @classmethod
    def make_toy(cls, labels: Mapping[str, Label], classes: Sequence[str]) -> dict[str, bytes]:
        files = {}
        for name, ids in labels.items():
            objects = [{"label": classes[i], "polygon": points} for i, points in outlines(ids)]
            tree = {"imgHeight": ids.shape[0], "imgWidth": ids.shape[1], "objects": objects}
            files[f"{name}_gtFine{_END}"] = json.dumps(tree).encode()
        return files

    def _parse(self, key: str) -> tuple[tuple[int, int], list[Shape]]:
        tree = self.files.json(key)
        with well_formed(self.files.where(key), "Cityscapes"):
            return (int(tree["imgHeight"]), int(tree["imgWidth"])), list(_shapes(tree["objects"]))


def _shapes(objects: list[dict[str, object]]) -> Iterator[Shape]:
    for item in objects:
        if not item.get("deleted"):
            yield Shape(str(item["label"]), polygon(item["polygon"]))


def _single(shape: Shape) -> Shape:
    return shape._replace(name=shape.name.removesuffix(_GROUP))
