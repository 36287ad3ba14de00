"""Polygons as Cityscapes has them: NAME_gtFine_polygons.json (or gtCoarse), drawn in order.

{"imgHeight": 1024, "imgWidth": 2048, "objects": [{"label": "road", "polygon": [[0, 769], [290, 574], ...]}, ...]}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from ifrkit.core.records import Label
from ifrkit.labels._drawn import DrawnLabels
from ifrkit.labels.base import (
    Entry,
    LabelFiles,
    Shape,
    of_class,
    outline,
    outlines,
    paint,
    table_of_names,
    well_formed,
)
from ifrkit.media.classes import ClassTable
from ifrkit.media.images import check_size

_END = "_polygons.json"
_GROUP = "group"


class Labels(DrawnLabels):
    """Frames may be named NAME or NAME_leftImg8bit. A group ("cargroup") without a class of its own counts as "car"."""

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return bool(_documents(files))

    def entries(self) -> list[Entry]:
        stems = ((name, re.sub(r"(_gt[A-Za-z]+)?(_polygons)?\.json$", "", name)) for name in _documents(self.files))
        return [Entry(name, (stem, f"{stem}_leftImg8bit")) for name, stem in stems]

    def table(self, keys: Sequence[str]) -> ClassTable:
        names = {shape.name for key in keys for shape in self.drawn(key) if not (shape.stray or shape.unclear)}
        whole = {name.removesuffix(_GROUP) if name.removesuffix(_GROUP) in names else name for name in names}
        return table_of_names(str(self.files.path), whole)

    def drawn(self, key: str) -> list[Shape]:
        return self._parse(key)[1]

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


def _documents(files: LabelFiles) -> list[str]:
    """Files of these keys, whatever their names; and those of its names that are not JSON at all, to say so."""
    found = []
    for name in files.ending(".json"):
        keys = files.keys(name)
        if ("imgHeight" in keys and "[]" not in keys) or (not keys and name.endswith(_END)):
            found.append(name)
    return found


def _shapes(objects: list[dict[str, object]]) -> Iterator[Shape]:
    for item in objects:
        if not item.get("deleted"):
            yield of_class(item["label"], outline(str(item["label"]), item["polygon"]))


def _single(shape: Shape) -> Shape:
    return shape._replace(name=shape.name.removesuffix(_GROUP))
