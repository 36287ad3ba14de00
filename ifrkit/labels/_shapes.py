"""Labels that are drawn: polygons and masks in order, a later one over the earlier ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import cv2
from ifrkit.core.limits import limit, raised
from ifrkit.core.records import IGNORE, Label
from ifrkit.media.classes import IGNORED, ClassTable, named_table, one_spelling

PEN = 3
"""Pixels, of scribbles and points: in a tool their width is that of the screen."""
_UNTOUCHED = 254
"""No class has this id."""
_FAR = 1e6
"""Coordinates beyond this cannot be a drawing."""


class Part(NamedTuple):
    """A boolean mask of a part of the frame. at: (row, column) of its upper left corner."""

    mask_hw: NDArray[np.bool_]
    at: tuple[int, int]


class Shape(NamedTuple):
    """A class and where it is: points [(x, y), ...] of a polygon in pixels, or a boolean mask of a part of the frame.

    at: (row, column) of the mask's upper left corner; it lies inside the frame. A mask is as large as what it shows: a
    frame may have thousands. sparse: a scribble or a point, which says nothing of the pixels around it. stray: what it
    is instead, "a cuboid": it has no area, and is not painted; its points, if any, are two corners of a box that holds
    it, in which what nobody drew is not background. unclear: why nobody can say which class it is; what is
    under it is ignored.
    """

    name: str
    points: list[tuple[float, float]] | None = None
    mask_hw: NDArray[np.bool_] | None = None
    at: tuple[int, int] = (0, 0)
    sparse: bool = False
    stray: str = ""
    unclear: str = ""


def of_class(written: Any, shape: Shape) -> Shape:
    """The shape with what a tool wrote for its class: a name, a list of names, or nothing (it is forgotten easily)."""
    names = [written] if not isinstance(written, Collection) or isinstance(written, str) else list(written)
    names = [name for name in names if isinstance(name, str | int | float) and str(name).strip()]
    if len(names) == 1:
        return shape._replace(name=str(names[0]))
    several = f"the classes {', '.join(map(str, names))}" if names else "no class"
    return shape._replace(name=IGNORED, unclear=several)


def outline(name: str, points: Any, scale: tuple[float, float] = (1.0, 1.0)) -> Shape:
    """A polygon of a class, or a stray one of fewer than three points. Raises ValueError as `polygon` does."""
    if isinstance(points, list) and len(points) < 3:
        return Shape(name, stray=f"a polygon of {len(points)} points")
    return Shape(name, polygon(points, scale))


def polygon(points: Any, scale: tuple[float, float] = (1.0, 1.0)) -> list[tuple[float, float]]:
    """Points as JSON brings them, times (x, y) of scale. Raises ValueError for anything else than a polygon."""
    if len(points) > limit("POINTS"):
        raise ValueError(f"a polygon of {len(points)} points, more than {limit('POINTS')}; {raised('POINTS')}")
    xy_n2 = np.asarray(points, np.float64)
    if xy_n2.ndim != 2 or xy_n2.shape[0] < 3 or xy_n2.shape[1] != 2:
        raise ValueError("a polygon that is not a list of three or more points (x, y)")
    xy_n2 = xy_n2 * scale
    if not (np.abs(xy_n2) < _FAR).all():  # also where it is NaN
        raise ValueError("a polygon with a point far outside the frame")
    return [(float(x), float(y)) for x, y in xy_n2]


def scribble(name: str, points: Any, size: tuple[int, int], joined: bool) -> Shape:
    """Points [(x, y), ...], `joined` by lines or each alone, with a pen of PEN pixels. Raises ValueError."""
    xy_n2 = np.asarray(points, np.float64)
    if xy_n2.ndim != 2 or xy_n2.shape[0] < 1 or xy_n2.shape[1] != 2 or not (np.abs(xy_n2) < _FAR).all():
        raise ValueError(f"points of shape {xy_n2.shape}, expected (x, y) inside the frame")
    dots = np.floor(xy_n2).astype(np.int32)
    at, around = part_around(dots, size, PEN // 2)
    canvas = np.zeros(around, np.uint8)
    dots -= at[::-1]
    if joined:
        cv2.polylines(canvas, [dots], False, 1)
    inside = dots[(dots >= 0).all(1) & (dots < around[::-1]).all(1)]
    canvas[inside[:, 1], inside[:, 0]] = 1
    # A thick line has ends that differ from one version of OpenCV to the next.
    drawn = cv2.dilate(canvas, np.ones((PEN, PEN), np.uint8))
    return Shape(name, mask_hw=np.asarray(drawn, np.uint8).view(np.bool_), at=at, sparse=True)


def part_around(
    xy_n2: NDArray[np.int32] | NDArray[np.int64], size: tuple[int, int], margin: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """(row, column) and (height, width) of the part of a frame that holds these pixels, and `margin` around them.

    It ends where the frame ends, so what is drawn into it is cut off as in the frame. It has a pixel at least.
    """
    last = np.array(size[::-1])
    begin = np.clip(xy_n2.min(0) - margin, 0, last - 1)
    end = np.clip(xy_n2.max(0) + margin + 1, begin + 1, last)
    (left, top), (width, height) = begin.tolist(), (end - begin).tolist()
    return (top, left), (height, width)


def paint(where: str, size: tuple[int, int], shapes: Iterable[Shape], table: ClassTable) -> Label:
    """Class ids of a frame of (height, width); where nothing is drawn it is `background`, or ignored.

    A frame with a scribble or a point in it is labeled in part: there, what is not drawn is ignored, always. Raises
    DatasetError for classes that the table lacks.
    """
    canvas = Image.new("L", (size[1], size[0]), _UNTOUCHED)
    pen = ImageDraw.Draw(canvas)
    unknown: Counter[str] = Counter()
    points, sparse = 0, False
    doubtful_hw = np.zeros(size, np.bool_)
    for number, shape in enumerate(shapes, start=1):  # one at a time: each may hold a mask
        if number > limit("SHAPES"):
            raise DatasetError(f"{where}: more than {limit('SHAPES')} shapes", raised("SHAPES"))
        sparse |= shape.sparse
        if shape.stray:
            if shape.points:
                doubtful_hw[_inside(shape.points, size)] = True
            continue
        points += len(shape.points or ())
        if points > limit("POINTS"):
            raise DatasetError(f"{where}: polygons of more than {limit('POINTS')} points", raised("POINTS"))
        index = table.by_name.get(one_spelling(shape.name))
        if index is None:
            unknown[shape.name] += 1
        elif shape.points is not None:
            pen.polygon(shape.points, fill=index)
        elif shape.mask_hw is not None:
            canvas.paste(index, shape.at[::-1], Image.fromarray(shape.mask_hw))
    if unknown:
        (first, count), *rest = unknown.most_common()
        more = f" (and {', '.join(repr(name) for name, _ in rest[:4])})" if rest else ""
        raise table.lacks(f"{where}: {count} shapes of class {first!r}{more}", first)
    ids_hw = np.array(canvas)
    untouched_hw = ids_hw == _UNTOUCHED
    ids_hw[untouched_hw] = IGNORE if sparse else table.unlabeled
    ids_hw[untouched_hw & doubtful_hw] = IGNORE
    return ids_hw


def boxed(name: str, x: Any, y: Any, width: Any, height: Any) -> Shape:
    """A box in pixels that holds an object nobody outlined: a stray. Raises ValueError for what is not four numbers."""
    corners = np.array([[x, y], [x, y]], np.float64)
    corners[1] += np.array([width, height], np.float64)
    if not np.isfinite(corners).all():
        raise ValueError(f"a box of {x}, {y}, {width}, {height}")
    (left, top), (right, bottom) = corners.tolist()
    return Shape(name, [(left, top), (right, bottom)], stray="a box")


def _inside(corners: list[tuple[float, float]], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of every pixel that a box touches."""
    xy_22 = np.array(corners)
    left, top = np.clip(np.floor(xy_22.min(0)), 0, size[::-1]).astype(int).tolist()
    right, bottom = np.clip(np.ceil(xy_22.max(0)), 0, size[::-1]).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def outlines(ids_hw: Label) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """The polygons that `paint` turns into exactly these ids: one a run of a row, with its id. For toy exports."""
    for y, row in enumerate(ids_hw.tolist()):
        ends = [x for x in range(1, len(row)) if row[x] != row[x - 1]] + [len(row)]
        for begin, end in zip([0, *ends], ends, strict=False):
            if row[begin] != IGNORE:
                yield row[begin], [(begin, y), (end - 1, y), (end - 1, y), (begin, y)]


def table_of_names(where: str, names: Iterable[str]) -> ClassTable:
    """A table of the class names that occur, sorted. `background`, as the class of what nobody labeled, comes first."""
    found = sorted(set(map(one_spelling, names)), key=lambda name: (name != "background", name))
    if not found:
        raise DatasetError(f"{where}: no shape with a class in it", "write a classes.yaml, or label a frame")
    return named_table(where, found)
