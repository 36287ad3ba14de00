"""YOLO segmentation, as Ultralytics reads it: a text file an image, a polygon a line, and the names of the classes.

    data.yaml                         names: {0: road, 1: car}; or classes.txt, obj.names: a name a line
    labels/train/street_000031.txt    1 0.25 0.5 0.3 0.5 0.3 0.75: class, then x and y as shares of width and height
    images/train/street_000031.jpg    need not be there; where it is, it must have the size of the frame

Painted as Ultralytics paints for semantic segmentation: corners cut to whole pixels, the border counts, a smaller
polygon over a larger one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from ifrkit.core.errors import DatasetError
from ifrkit.core.limits import limit
from ifrkit.core.records import Label
from ifrkit.labels._ultralytics import NAME_LISTS, class_names, frame_names
from ifrkit.labels.base import Entry, LabelFiles, LabelReader, Shape, outlines, paint, polygon, well_formed
from ifrkit.media.classes import MOST, ClassTable, named_table
from ifrkit.media.images import check_size, image_size, png_bytes
from ifrkit.media.names import IMAGES

_TITLE = "YOLO"
_LEAST = -0.5
"""Outlines may leave the frame a little."""
_LINE = re.compile(rb"\s*\d+(\s+-?[\d.]+([eE][-+]?\d+)?){4,}\s*")


class Labels(LabelReader):
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

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self.files.where(key)
        if (image := self._image(key)) is not None:
            check_size(where, image_size(self.files.where(image), self.files.read(image)), size)
        drawn = [(self._name(where, index), xy_n2) for index, xy_n2 in self._polygons(key)]
        if len(drawn) <= limit("SHAPES"):  # `paint` says it, else
            drawn.sort(key=lambda shape: -int(_filled(shape[1], size).sum()))
        return paint(where, size, (Shape(name, mask_hw=_filled(xy_n2, size)) for name, xy_n2 in drawn), table)

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
        found = [name for name in self.files.ending(".txt") if _is_label(self.files, name)]
        places = {PurePosixPath(name).parent for name in found}
        empty = [name for name in self.files.ending(".txt") if PurePosixPath(name).parent in places]
        return [name for name in empty if name in found or not self.files.head(name).strip()]

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
        """Classes and outlines (n, 2) in shares of the size."""
        found = []
        with well_formed(self.files.where(key), _TITLE):
            for number, line in enumerate(self.files.text(key).splitlines(), start=1):
                if not line.strip():
                    continue
                index, *numbers = line.split()
                if len(numbers) == 4:
                    raise ValueError(f"line {number}: a box, not an outline; export segmentation")
                if len(numbers) % 2:
                    raise ValueError(f"line {number}: an odd number of values; is the last value a confidence?")
                if not all(_LEAST <= float(value) <= 1 - _LEAST for value in numbers):
                    far = "x and y are shares of width and height, from 0 to 1, not pixels"
                    raise ValueError(f"line {number}: {far}")
                found.append((int(index), np.array(polygon(np.reshape(np.array(numbers, np.float64), (-1, 2))))))
        return found


def _filled(xy_n2: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [(xy_n2 * (size[1], size[0])).astype(np.int32)], 1)
    return canvas.view(np.bool_)


def _unnamed(index: int) -> str:
    return f"class_{index}"


def _is_label(files: LabelFiles, name: str) -> bool:
    """Whether its first line is a class and numbers."""
    if PurePosixPath(name).name in NAME_LISTS:
        return False
    first = files.head(name).lstrip().partition(b"\n")[0]
    return _LINE.match(first) is not None
