"""Scribbles and points: the pixels under them are labeled, and nothing is said of the others."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import label_exports as exports
import numpy as np
import pytest

from ifrkit.core.errors import DatasetError
from ifrkit.core.records import IGNORE, Label
from ifrkit.labels.base import LabelReader, open_labels
from ifrkit.media.classes import named_table

SIZE = (24, 40)


def _counting(reader: LabelReader) -> LabelReader:
    reader.scribbles = True
    return reader


def read(place: Path, shapes: list[dict[str, Any]], names: tuple[str, ...] = ("background", "road", "car")) -> Label:
    place.mkdir(exist_ok=True)
    (place / "a.json").write_bytes(exports.labelme("a", shapes, SIZE))
    found = pickle.loads(pickle.dumps(_counting(open_labels(place, "labelme").reader)))
    (entry,) = found.entries()
    assert set(found.table([entry.key]).space.names) <= set(names)
    return found.read(entry.key, SIZE, named_table("", names))


@pytest.mark.parametrize(
    ("kind", "points", "rows", "columns"),
    [
        ("point", [[10.5, 5.5]], (4, 7), (9, 12)),
        ("points", [[10.5, 5.5]], (4, 7), (9, 12)),
        ("line", [[3.0, 8.9], [20.2, 8.1]], (7, 10), (2, 22)),
        ("linestrip", [[3.0, 8.0], [12.0, 8.0], [20.0, 8.0]], (7, 10), (2, 22)),
        ("point", [[0.0, 23.9]], (22, 24), (0, 2)),
    ],
)
def test_what_is_under_the_pen(
    tmp_path: Path, kind: str, points: list[list[float]], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    wanted = np.full(SIZE, IGNORE, np.uint8)
    wanted[slice(*rows), slice(*columns)] = 1
    assert np.array_equal(read(tmp_path, [exports.labelme_shape("road", points, kind)]), wanted)


def test_points_that_are_not_joined(tmp_path: Path) -> None:
    label = read(tmp_path, [exports.labelme_shape("car", [[5, 5], [30, 15]], "points")])
    assert (label == 2).sum() == 18


def test_a_frame_with_a_scribble_has_no_background_but_what_is_drawn(tmp_path: Path) -> None:
    """A polygon alone leaves the rest to `background`; beside a scribble it does not."""
    square = exports.labelme_shape("car", [[5, 5], [9, 5], [9, 9], [5, 9]])
    alone = read(tmp_path / "alone", [square])
    assert (alone == 0).sum() == SIZE[0] * SIZE[1] - 25
    scribble = exports.labelme_shape("_background_", [[20, 20], [30, 20]], "line")
    both = read(tmp_path / "both", [square, scribble])
    assert (both == 2).sum() == 25
    assert (both == 0).sum() == 3 * 13
    assert (both == IGNORE).sum() == SIZE[0] * SIZE[1] - 25 - 39


def test_later_shapes_lie_over_earlier_ones(tmp_path: Path) -> None:
    shapes = [
        exports.labelme_shape("road", [[0, 10], [39, 10]], "line"),
        exports.labelme_shape("car", [[9, 10]], "point"),
    ]
    label = read(tmp_path, shapes)
    assert (label[9:12, 8:11] == 2).all()
    assert (label == 1).sum() == 3 * 40 - 9


@pytest.mark.parametrize("points", [[], [[1.0]], [[float("nan"), 2.0]], [[1e9, 2.0]], "x"])
def test_points_that_are_none(tmp_path: Path, points: Any) -> None:
    with pytest.raises(DatasetError, match=r"a\.json: not as LabelMe writes it"):
        read(tmp_path, [exports.labelme_shape("road", points, "linestrip")])
