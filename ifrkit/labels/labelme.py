"""LabelMe's files: one JSON an image, polygons, rectangles, circles, masks, scribbles and points in order.

    {"shapes": [{"label": "road", "points": [[x, y], ...], "shape_type": "polygon"}, ...],
     "imagePath": "street_000031.png", "imageHeight": 1080, "imageWidth": 1920}

Lines, line strips and points have no area and are left out, unless scribbles count: then they label the pixels under
them, and a file that has one is labeled in part. A mask (of its AI tools) is a PNG in base64 that fills the rectangle
of its two points, both ends inside.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ifrkit.core.records import Label
from ifrkit.labels._drawn import DrawnLabels
from ifrkit.labels._to_labelme import Writer
from ifrkit.labels.base import (
    Entry,
    LabelFiles,
    Shape,
    of_class,
    outline,
    outlines,
    paint,
    polygon,
    scribble,
    table_of_names,
    well_formed,
)
from ifrkit.media.classes import BACKGROUND, ClassTable
from ifrkit.media.images import check_size
from ifrkit.media.label_image import read_label_image

_SPARSE = {"line": True, "linestrip": True, "point": False, "points": False}
"""Shapes without an area, and whether their points are joined."""
_SPECIAL = {"_background_": BACKGROUND}
_KEYS = {"shapes", "imagePath"}


class Labels(DrawnLabels):
    """Labels are named by their JSON, or by the image that it says. `__ignore__` and `_background_` mean that."""

    writer = Writer

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return bool(_documents(files))

    def entries(self) -> list[Entry]:
        return [Entry(name, (name[: -len(".json")], *self._image(name))) for name in _documents(self.files)]

    def table(self, keys: Sequence[str]) -> ClassTable:
        found = {shape.name for key in keys for shape in self.drawn(key) if not (shape.stray or shape.unclear)}
        return table_of_names(str(self.files.path), found)

    def drawn(self, key: str) -> list[Shape]:
        return list(self._parse(key, (0, 0)))

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        return paint(self.files.where(key), size, self._parse(key, size), table)

    @classmethod
    def make_toy(cls, labels: Mapping[str, Label], classes: Sequence[str]) -> dict[str, bytes]:
        files = {}
        for name, ids in labels.items():
            shapes = [{"label": classes[i], "points": points, "shape_type": "polygon"} for i, points in outlines(ids)]
            size = {"imageHeight": ids.shape[0], "imageWidth": ids.shape[1]}
            tree = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"../to_label/{name}.png", **size}
            files[f"{name}.json"] = json.dumps(tree).encode()
        return files

    def _image(self, key: str) -> tuple[str, str]:
        """The image that a file says, with its directories and without."""
        with well_formed(self.files.where(key), "LabelMe"):
            path = str(self.files.json(key)["imagePath"]).replace("\\", "/")
            stem = PurePosixPath(path).with_suffix("")
            return "/".join(part for part in stem.parts if part.strip("./")), stem.name

    def _parse(self, key: str, size: tuple[int, int]) -> Iterator[Shape]:
        """The shapes of a file; of masks their class alone where size is (0, 0)."""
        where, tree = self.files.where(key), self.files.json(key)
        with well_formed(where, "LabelMe"):
            own_size = tree.get("imageHeight"), tree.get("imageWidth")
            if size != (0, 0) and None not in own_size:
                check_size(where, (int(own_size[0]), int(own_size[1])), size)
            for shape in tree["shapes"]:
                drawn = self._sparse(shape, size) or _shape(where, shape, size)
                yield of_class(_SPECIAL.get(drawn.name, shape["label"]), drawn)

    def _sparse(self, tree: dict[str, Any], size: tuple[int, int]) -> Shape | None:
        """A line or a point, where these count."""
        kind, name = tree.get("shape_type"), str(tree["label"])
        if not self.scribbles or kind not in _SPARSE:
            return None
        return Shape(name) if size == (0, 0) else scribble(name, tree["points"], size, _SPARSE[kind])


def _documents(files: LabelFiles) -> list[str]:
    return [name for name in files.ending(".json") if _KEYS & files.keys(name) and "[]" not in files.keys(name)]


def _shape(where: str, tree: dict[str, Any], size: tuple[int, int]) -> Shape:
    name = str(tree["label"])
    kind, points = tree.get("shape_type") or "polygon", tree["points"]
    if kind in ("polygon", "oriented_rectangle", "rotation") or (kind == "rectangle" and len(points) > 2):
        return outline(name, points)  # some programs write all corners of a rectangle
    if kind not in ("rectangle", "circle", "mask"):
        return Shape(name, stray=f"a {kind}")
    if len(points) != 2:
        return Shape(name, stray=f"a {kind} of {'one point' if len(points) == 1 else f'{len(points)} points'}")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return Shape(name, polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]))
    if kind == "circle":  # its centre, and a point of it
        angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
        return Shape(
            name, polygon(np.hypot(x1 - x0, y1 - y0) * np.stack([np.cos(angles), np.sin(angles)], 1) + (x0, y0))
        )
    if size == (0, 0):
        return Shape(name)
    left, top, right, bottom = (int(value) for value in (x0, y0, x1, y1))
    inside = (bottom - top + 1, right - left + 1)
    if not isinstance(tree.get("mask"), str):
        raise ValueError(f"a mask of class {name!r} without its pixels")
    data = base64.b64decode(tree["mask"], validate=True)
    if not (0 <= left <= right < size[1] and 0 <= top <= bottom < size[0]):
        raise ValueError(f"a mask of class {name!r} lies outside the frame")
    return Shape(name, None, read_label_image(f"{where}: a mask", data, inside).codes_hw > 0, (top, left))
