"""YOLO segmentation, as Ultralytics reads it: a text file an image, a polygon a line, and the names of the classes.

    data.yaml                         names: {0: road, 1: car}; or classes.txt, obj.names: a name a line
    labels/train/street_000031.txt    1 0.25 0.5 0.3 0.5 0.3 0.75: class, then x and y as shares of width and height
    images/train/street_000031.jpg    need not be there; where it is, it must have the size of the frame

A line of four numbers is a box, which has no outline: it is left out, and what nobody drew in it is ignored.
Painted as Ultralytics paints for semantic segmentation: corners cut to whole pixels, the border counts, a smaller
polygon over a larger one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from ifrkit.core.errors import DatasetError
from ifrkit.core.limits import limit
from ifrkit.core.records import Label
from ifrkit.labels._drawn import DrawnLabels
from ifrkit.labels._shapes import Part, boxed, part_around
from ifrkit.labels._ultralytics import NAME_LISTS, class_names, frame_names
from ifrkit.labels.base import Entry, LabelFiles, Shape, outlines, paint, polygon, well_formed
from ifrkit.media.classes import MOST, ClassTable, named_table
from ifrkit.media.images import check_size, image_size, png_bytes
from ifrkit.media.litter import shown
from ifrkit.media.names import IMAGES

_TITLE = "YOLO"
_LEAST = -0.5
"""Outlines may leave the frame a little."""
_LINE = re.compile(rb"\s*\d+(\s+-?[\d.]+([eE][-+]?\d+)?){4,}\s*")


class Labels(DrawnLabels):
    """A file without a line is a frame that shows none of the classes."""

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return any(_is_label(files, name) for name in files.ending(".txt"))

    def entries(self) -> list[Entry]:
        return [Entry(name, frame_names(name, "labels")) for name in self._files]

    def table(self, keys: Sequence[str]) -> ClassTable:
        """The names of data.yaml, else class_0, class_1, ... up to the largest id."""
        names = self._names
        if not names:
            most = max((index for key in keys for index, _ in self._polygons(key)), default=0)
            if most >= MOST:
                fault = f"{self.files.path}: has a class {most}, and nothing names the classes"
                raise DatasetError(fault, f"put data.yaml beside the labels; up to {MOST} classes are told apart")
            names = {index: _unnamed(index) for index in range(most + 1)}
        return named_table(str(self.files.path), list(names.values()))

    def drawn(self, key: str) -> list[Shape]:
        where = self.files.where(key)
        return [Shape(self._name(where, i), stray="a box" if len(xy_n2) == 2 else "") for i, xy_n2 in self._lines(key)]

    def notes(self) -> list[str]:
        other = [name for name in self._beside if name not in self._files]
        what = f"{len(other)} text files left out, their first line is not a class and numbers: {shown(other)}"
        return super().notes() + ([what] if other else [])

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self.files.where(key)
        if (image := self._image(key)) is not None:
            check_size(where, image_size(self.files.where(image), self.files.read(image)), size)
        drawn = [(self._name(where, index), xy_n2) for index, xy_n2 in self._polygons(key)]
        if len(drawn) <= limit("SHAPES"):  # `paint` says it, else
            drawn.sort(key=lambda shape: -int(_filled(shape[1], size).mask_hw.sum()))
        outlined = (Shape(name, None, *_filled(xy_n2, size)) for name, xy_n2 in drawn)
        return paint(where, size, itertools.chain(self._boxes(key, size), outlined), table)

    @classmethod
    def make_toy(cls, labels: Mapping[str, Label], classes: Sequence[str]) -> dict[str, bytes]:
        files = {"data.yaml": yaml.safe_dump({"names": dict(enumerate(classes))}).encode()}
        for name, ids in labels.items():
            height, width = ids.shape
            rows = [
                " ".join([str(index), *(f"{(x + 0.5) / width:.6f} {(y + 0.5) / height:.6f}" for x, y in points)])
                for index, points in outlines(ids)
            ]
            files[f"labels/train/{name}.txt"] = "\n".join(rows).encode()
            files[f"images/train/{name}.png"] = png_bytes(np.zeros((*ids.shape, 3), np.uint8))
        return files

    @cached_property
    def _files(self) -> list[str]:
        return [n for n in self._beside if _is_label(self.files, n) or not self.files.head(n).strip()]

    @cached_property
    def _beside(self) -> list[str]:
        """Text files in directories of labels, the labels among them."""
        places = {PurePosixPath(name).parent for name in self.files.ending(".txt") if _is_label(self.files, name)}
        texts = (PurePosixPath(name) for name in self.files.ending(".txt"))
        return [str(path) for path in texts if path.parent in places and path.name not in NAME_LISTS]

    @cached_property
    def _names(self) -> dict[int, str]:
        return class_names(self.files)

    def _name(self, where: str, index: int) -> str:
        with well_formed(where, _TITLE):
            if self._names and index not in self._names:
                raise ValueError(f"class {index}, of {len(self._names)} that have a name")
        return self._names.get(index, _unnamed(index))

    def _image(self, key: str) -> str | None:
        """The image beside a label, in `images` where the label is in `labels`."""
        stem = str(PurePosixPath(key).with_suffix(""))
        places = (stem, f"/{stem}".replace("/labels/", "/images/")[1:])
        found = (f"{place}{suffix}" for place in places for suffix in sorted(IMAGES))
        return next((name for name in found if name in self._known), None)

    @cached_property
    def _known(self) -> set[str]:
        return set(self.files.names)

    def _polygons(self, key: str) -> list[tuple[int, NDArray[np.float64]]]:
        return [(index, xy_n2) for index, xy_n2 in self._lines(key) if len(xy_n2) > 2]

    def _boxes(self, key: str, size: tuple[int, int]) -> Iterator[Shape]:
        for index, xy_n2 in self._lines(key):
            if len(xy_n2) == 2:
                (x, y), (width, height) = (xy_n2 * (size[1], size[0])).tolist()
                yield boxed(self._name(key, index), x - width / 2, y - height / 2, width, height)

    def _lines(self, key: str) -> list[tuple[int, NDArray[np.float64]]]:
        """Classes and outlines (n, 2) in shares of the size; of a box its centre and (width, height)."""
        found: list[tuple[int, NDArray[np.float64]]] = []
        with well_formed(self.files.where(key), _TITLE):
            for number, line in enumerate(self.files.text(key).splitlines(), start=1):
                if not line.strip():
                    continue
                index, *numbers = line.split()
                if len(numbers) % 2:
                    raise ValueError(f"line {number}: an odd number of values; is the last value a confidence?")
                if not all(_LEAST <= float(value) <= 1 - _LEAST for value in numbers):
                    far = "x and y are shares of width and height, from 0 to 1, not pixels"
                    raise ValueError(f"line {number}: {far}")
                box = len(numbers) == 4
                points = np.reshape(np.array(numbers, np.float64), (-1, 2))
                found.append((int(index), points if box else np.array(polygon(points))))
        return found


def _filled(xy_n2: NDArray[np.float64], size: tuple[int, int]) -> Part:
    corners = (xy_n2 * (size[1], size[0])).astype(np.int32)
    at, around = part_around(corners, size, 0)
    canvas = np.zeros(around, np.uint8)
    cv2.fillPoly(canvas, [corners - at[::-1]], 1)
    return Part(canvas.view(np.bool_), at)


def _unnamed(index: int) -> str:
    return f"class_{index}"


def _is_label(files: LabelFiles, name: str) -> bool:
    """Whether its first line is a class and numbers."""
    if PurePosixPath(name).name in NAME_LISTS:
        return False
    first = files.head(name).lstrip().partition(b"\n")[0]
    return _LINE.match(first) is not None
