"""Datumaro: one JSON a subset, with masks as COCO's run lengths, and polygons.

    {"categories": {"label": {"labels": [{"name": "road"}, ...]}},
     "items": [{"id": "street_000031", "image": {"path": "street_000031.jpg", "size": [1080, 1920]}, "annotations":
       [{"type": "mask", "label_id": 0, "z_order": 0, "rle": {"size": [h, w], "counts": "..."}},
        {"type": "polygon", "label_id": 1, "z_order": 1, "points": [x, y, x, y, ...]}]}, ...]}

What has no outline (boxes, points, lines) is left out; what nobody drew in a box is ignored. Shapes of a higher z_order
lie over the others, a later one over the earlier ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ifrkit.core.records import Label
from ifrkit.labels._coco_mask import counts_of, text_of
from ifrkit.labels._drawn import DrawnLabels
from ifrkit.labels._json import documents, flat_polygon, run_lengths
from ifrkit.labels._shapes import boxed
from ifrkit.labels.base import Entry, LabelFiles, Shape, of_class, paint, table_of_names, well_formed
from ifrkit.media.classes import ClassTable, named_table
from ifrkit.media.images import check_size

_TITLE = "Datumaro"
_NOTHING_DRAWN = ("label", "caption", "hash_key", "feature_vector")
_CALLED = {"bbox": "box", "points": "point", "polyline": "line"}


class _Item(NamedTuple):
    """One image. size: (height, width), where the file says it."""

    file: str
    id: str
    size: tuple[int, int] | None
    annotations: list[dict[str, Any]]
    classes: list[str]


class Labels(DrawnLabels):
    """Every item is labeled, one without annotations too: it shows none of the classes."""

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return bool(_documents(files))

    def entries(self) -> list[Entry]:
        return [Entry(key, tuple({item.id: 0, PurePosixPath(item.id).name: 0})) for key, item in self._items.items()]

    def table(self, keys: Sequence[str]) -> ClassTable:
        """All labels, in the order of the file."""
        where = str(self.files.path)
        names = list(dict.fromkeys(name for key in keys for name in self._items[key].classes))
        return named_table(where, names) if names else table_of_names(where, [])

    def drawn(self, key: str) -> list[Shape]:
        item = self._items[key]
        where = f"{self.files.where(item.file)}: item {item.id}"
        with well_formed(where, _TITLE):
            return list(_shapes(where, item, None))

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        item = self._items[key]
        where = f"{self.files.where(item.file)}: item {item.id}"
        if item.size is not None:
            check_size(where, item.size, size)
        with well_formed(where, _TITLE):
            return paint(where, size, _shapes(where, item, size), table)

    @classmethod
    def make_toy(cls, labels: Mapping[str, Label], classes: Sequence[str]) -> dict[str, bytes]:
        items = []
        for name, ids in labels.items():
            masks = [
                {"type": "mask", "label_id": index, "z_order": 0, "rle": {"size": ids.shape, "counts": text_of(counts)}}
                for index in range(len(classes))
                if (counts := counts_of(ids == index)).size > 1
            ]
            items.append({"id": name, "annotations": masks, "image": {"path": f"{name}.png", "size": ids.shape}})
        names = [{"name": name, "parent": "", "attributes": []} for name in classes]
        tree = {"dm_format_version": "1.0", "categories": {"label": {"labels": names}}, "items": items}
        return {"annotations/default.json": json.dumps(tree).encode()}

    @cached_property
    def _items(self) -> dict[str, _Item]:
        """FILE#ID -> the item."""
        found: dict[str, _Item] = {}
        for name in _documents(self.files):
            tree = self.files.json(name)
            with well_formed(self.files.where(name), _TITLE):
                classes = [str(label["name"]) for label in tree["categories"]["label"]["labels"]]
                for item in tree["items"]:
                    size = item.get("image", {}).get("size")
                    shape = None if size is None else (int(size[0]), int(size[1]))
                    own = str(item["id"])
                    found[f"{name}#{own}"] = _Item(name, own, shape, list(item["annotations"]), classes)
        return found


def _shapes(where: str, item: _Item, size: tuple[int, int] | None) -> Iterator[Shape]:
    """size: (height, width) of the frame; None: without pixels."""
    for drawn in sorted(item.annotations, key=lambda annotation: int(annotation.get("z_order", 0))):
        kind = drawn["type"]
        if kind in _NOTHING_DRAWN:
            continue
        number = drawn.get("label_id")
        name = None if number is None else item.classes[int(number)]
        if kind == "bbox" and drawn.get("bbox"):
            shape = boxed("", *drawn["bbox"])
        elif kind not in ("mask", "polygon"):
            shape = Shape("", stray=f"a {_CALLED.get(kind, kind)}")
        elif kind == "polygon" and len(drawn["points"]) < 6:
            shape = Shape("", stray=f"a polygon of {len(drawn['points']) // 2} points")
        elif size is None:
            shape = Shape("")
        else:
            is_mask = kind == "mask"
            part = run_lengths(where, drawn["rle"], size) if is_mask else flat_polygon(drawn["points"], size)
            shape = Shape("", None, *part)
        yield of_class(name, shape)


def _documents(files: LabelFiles) -> list[str]:
    return documents(files, b"dm_format_version", b"items")
