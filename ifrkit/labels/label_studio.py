"""Label Studio's export "JSON": one file with all tasks, brush strokes and polygons in order.

    [{"data": {"image": ".../upload/1/1a2b3c4d-street_000031.png"}, "annotations": [{"was_cancelled": false, "result":
      [{"type": "brushlabels", "original_height": 1080, "original_width": 1920,
        "value": {"format": "rle", "rle": [0, 126, ...], "brushlabels": ["road"]}},
       {"type": "polygonlabels", ..., "value": {"points": [[x, y], ...], "polygonlabels": ["car"]}}]}]}, ...]

Points, rectangles and ellipses are in percent of the size. A stroke is an RGBA image, see `_rle.py`; it counts where it
is at least half opaque.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from ifrkit.core.records import Label
from ifrkit.labels._drawn import DrawnLabels
from ifrkit.labels._rle import decode
from ifrkit.labels._to_label_studio import Writer
from ifrkit.labels.base import (
    Entry,
    LabelFiles,
    Shape,
    of_class,
    paint,
    polygon,
    table_of_names,
    well_formed,
)
from ifrkit.media.classes import ClassTable
from ifrkit.media.images import check_size
from ifrkit.media.names import IMAGES

_TITLE = "Label Studio"
_DRAWN = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels")
_WITHOUT_AREA = {"keypointlabels": "a point", "keypoint": "a point", "vectorlabels": "a line", "vector": "a line"}
_RELATIONS = ("relation", "choices", "textarea", "rating", "taxonomy", "number", "datetime")
"""Results that say something about a picture and draw nothing."""


class _Task(NamedTuple):
    names: tuple[str, ...]
    results: list[dict[str, Any]]


class Labels(DrawnLabels):
    """Of several annotations of a task the last one counts that was not skipped.

    Predictions count in a file that has nothing else: one that was never in Label Studio.
    """

    writer = Writer

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        keys = [files.keys(name) for name in files.ending(".json")]
        return any("[]" in own and {"annotations", "data", "predictions"} & own for own in keys)

    def entries(self) -> list[Entry]:
        return [Entry(key, task.names) for key, task in self._tasks.items() if task.results]

    def table(self, keys: Sequence[str]) -> ClassTable:
        found = {shape.name for key in keys for shape in self.drawn(key) if not (shape.stray or shape.unclear)}
        return table_of_names(str(self.files.path), found)

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self._where(key)
        with well_formed(where, _TITLE):
            return paint(where, size, _shapes(where, self._tasks[key].results, size), table)

    def drawn(self, key: str) -> list[Shape]:
        with well_formed(self._where(key), _TITLE):
            return [of_class(_names_of(one), Shape("", stray=_stray(one))) for one in self._tasks[key].results]

    def notes(self) -> list[str]:
        empty = sum(not task.results for task in self._tasks.values())
        return super().notes() + ([f"{empty} tasks of {self.files.path.name} are not annotated"] if empty else [])

    def _where(self, key: str) -> str:
        name, _, number = key.rpartition("#")
        return f"{self.files.where(name)}: task {number} ({self._tasks[key].names[0]})"

    @cached_property
    def _tasks(self) -> dict[str, _Task]:
        """FILE#PLACE -> its task; places count from 1."""
        tasks = {}
        for name in self.files.ending(".json"):
            tree = self.files.json(name)
            with well_formed(self.files.where(name), _TITLE):
                done = isinstance(tree, list) and any("annotations" in task for task in tree)
                kind = "annotations" if done else "predictions"
                if not isinstance(tree, list) or any(kind not in task for task in tree):
                    raise ValueError("it has no annotations; choose JSON, not JSON-MIN, for the export")
                for number, task in enumerate(tree, start=1):
                    tasks[f"{name}#{number}"] = _Task(_names(task["data"]), _results(task[kind] or []))
                if done and not any(task["annotations"] for task in tree):
                    raise ValueError("no task is annotated; submit the annotations (drafts do not count)")
        return tasks


def _names(data: dict[str, Any]) -> tuple[str, ...]:
    """What the image is called: its path or URL, its file's name, and that without what the upload put before it."""
    for value in data.values():
        if not isinstance(value, str):
            continue
        url = urlsplit(value)
        path = PurePosixPath(parse_qs(url.query).get("d", [unquote(url.path)])[0])
        if path.suffix.lower() in IMAGES:
            stem = path.stem
            return str(path.with_suffix("")).strip("/"), stem, re.sub(r"^[0-9a-f]{8}-", "", stem)
    raise ValueError("a task without an image in its data")


def _results(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was drawn in the last annotation that counts."""
    counted = [a["result"] for a in annotations if not a.get("was_cancelled")]
    return [r for r in counted[-1] if r["type"] not in _RELATIONS] if counted else []


def _stray(result: dict[str, Any]) -> str:
    """What a region is that has no area; "" for all others."""
    kind, value = result["type"], result["value"]
    if kind in _WITHOUT_AREA:
        return _WITHOUT_AREA[kind]
    points = value.get("points") if kind == "polygonlabels" else None
    return f"a polygon of {len(points)} points" if isinstance(points, list) and len(points) < 3 else ""


def _names_of(result: dict[str, Any]) -> list[Any]:
    """The labels of a region; none where nobody chose one."""
    kind = result["type"]
    if kind not in _DRAWN and kind not in _WITHOUT_AREA:
        raise ValueError(f"a region of type {kind}; draw with BrushLabels or PolygonLabels")
    return list(result["value"].get(kind) or [])


def _shapes(where: str, results: list[dict[str, Any]], size: tuple[int, int]) -> Iterator[Shape]:
    for result in results:
        names, value = _names_of(result), result["value"]
        if _stray(result):
            continue
        check_size(where, (int(result["original_height"]), int(result["original_width"])), size)
        if result.get("image_rotation"):
            raise ValueError("the image was rotated for labeling; turn the frame itself")
        if result["type"] != "brushlabels":
            yield of_class(names, Shape("", polygon(_points(result["type"], value, size))))
            continue
        if value["format"] != "rle" or not isinstance(value["rle"], list):
            raise ValueError(f"a brush stroke in the format {value['format']!r}")
        rgba = decode(bytes(value["rle"]), 4 * size[0] * size[1]).reshape(*size, 4)
        yield of_class(names, Shape("", mask_hw=rgba[..., 3] >= 128))


def _points(kind: str, value: dict[str, Any], size: tuple[int, int]) -> Any:
    """The outline of a region in pixels. Rectangles turn about their upper left corner, ellipses about their centre."""
    to_pixels = np.array([size[1], size[0]]) / 100
    if kind == "polygonlabels":
        return [(x * to_pixels[0], y * to_pixels[1]) for x, y in value["points"]]
    begin_2 = np.array([value["x"], value["y"]], np.float64) * to_pixels
    if kind == "rectanglelabels":
        corners_n2 = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [value["width"], value["height"]] * to_pixels
    else:
        angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
        corners_n2 = np.stack([np.cos(angles), np.sin(angles)], 1) * [value["radiusX"], value["radiusY"]] * to_pixels
    turn = np.deg2rad(float(value.get("rotation") or 0))
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return begin_2 + corners_n2 @ matrix
