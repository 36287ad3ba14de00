"""COCO: one JSON with images, categories and annotations (polygons or run lengths), or the panoptic form with PNGs.

    {"images": [{"id": 1, "file_name": "street_000031.jpg", "height": 1080, "width": 1920}, ...],
     "categories": [{"id": 1, "name": "road"}, ...],
     "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[x, y, x, y, ...], ...]},
                     {"image_id": 1, "category_id": 2, "segmentation": {"size": [h, w], "counts": "..." or [...]}},
                     {"image_id": 1, "file_name": "street_000031.png", "segments_info": [{"id": 7, "category_id": 1}]}]}

Annotations are painted in order, a later one over the earlier ones; polygons as COCO's own tool paints them. Those with
a box and no outline are left out; what nobody drew in the box is ignored. In a panoptic PNG a pixel holds the id of its
segment as R + 256 G + 65536 B; 0 is not labeled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import lazy
from ifrkit.core.records import Label
from ifrkit.labels._drawn import DrawnLabels
from ifrkit.labels._json import documents, flat_polygon, run_lengths
from ifrkit.labels._shapes import Part, boxed
from ifrkit.labels._to_coco import Writer
from ifrkit.labels.base import Entry, LabelFiles, Shape, paint, table_of_names, well_formed
from ifrkit.media.classes import ClassTable, named_table
from ifrkit.media.images import check_size
from ifrkit.media.label_image import LabelImage, read_label_image

if TYPE_CHECKING:
    from scipy import ndimage
else:
    ndimage = lazy("scipy.ndimage")

_TITLE = "COCO"
_LISTS = ("images", "categories", "annotations")


class _Image(NamedTuple):
    """One image of a document. size: (height, width). annotations: in their order. classes: by category id."""

    file: str
    stem: str
    size: tuple[int, int]
    annotations: list[dict[str, Any]]
    classes: dict[int, str]


class Labels(DrawnLabels):
    """Every image that a document lists is labeled, one without annotations too: it shows none of the classes."""

    writer = Writer

    def __init__(self, files: LabelFiles) -> None:
        super().__init__(files)
        self._lost: dict[str, int] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_lost": self._lost}

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return bool(_documents(files))

    def entries(self) -> list[Entry]:
        return [Entry(key, _names(image.stem)) for key, image in self._images.items()]

    def table(self, keys: Sequence[str]) -> ClassTable:
        """All categories, in the order of their ids."""
        names = {name: None for key in keys for _, name in sorted(self._images[key].classes.items())}
        return named_table(str(self.files.path), list(names)) if names else table_of_names(str(self.files.path), [])

    def drawn(self, key: str) -> list[Shape]:
        image = self._images[key]
        where = f"{self.files.where(image.file)}: image {image.stem}"
        with well_formed(where, _TITLE):
            return list(self._shapes(where, image, pixels=False))

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        image = self._images[key]
        where = f"{self.files.where(image.file)}: image {image.stem}"
        check_size(where, image.size, size)
        with well_formed(where, _TITLE):
            return paint(where, size, self._shapes(where, image), table)

    def notes(self) -> list[str]:
        lost = [f"{n} annotations of {name} left out, their image is not in it" for name, n in self._lost.items() if n]
        return super().notes() + lost

    @cached_property
    def _images(self) -> dict[str, _Image]:
        """FILE#ID -> the image."""
        return {key: image for name in _documents(self.files) for key, image in self._parse(name)}

    def _parse(self, name: str) -> Iterator[tuple[str, _Image]]:
        tree = self.files.json(name)
        with well_formed(self.files.where(name), _TITLE):
            if missing := [key for key in _LISTS if not isinstance(tree.get(key), list)]:
                raise ValueError(f"it has no list of {missing[0]}")
            classes = _categories(tree["categories"])
            own: dict[str, list[dict[str, Any]]] = {str(image["id"]): [] for image in tree["images"]}
            if len(own) < len(tree["images"]):
                raise ValueError("two images have the same id")
            lost = 0
            for annotation in tree["annotations"]:
                if (of_image := own.get(str(annotation["image_id"]))) is None:
                    lost += 1
                else:
                    of_image.append(annotation)
            if lost and lost == len(tree["annotations"]):
                raise ValueError(f"of all {lost} annotations the image is not among its images")
            self._lost[name] = lost
            for image in tree["images"]:
                stem = str(PurePosixPath(str(image["file_name"]).replace("\\", "/")).with_suffix(""))
                size = int(image["height"]), int(image["width"])
                yield f"{name}#{image['id']}", _Image(name, stem, size, own[str(image["id"])], classes)

    def _shapes(self, where: str, image: _Image, pixels: bool = True) -> Iterator[Shape]:
        """pixels: whether masks are wanted, too."""
        for annotation in image.annotations:
            if "segments_info" in annotation:
                yield from self._segments(where, image, annotation, pixels)
                continue
            name = _named(image.classes, annotation)
            drawn = annotation.get("segmentation")
            if stray := _stray(annotation, drawn):
                yield boxed(name, *annotation["bbox"]) if stray == "a box" else Shape(name, stray=stray)
            elif not pixels:
                yield Shape(name)
            else:
                yield from (Shape(name, None, *part) for part in _parts(where, drawn, image.size))

    def _segments(self, where: str, image: _Image, annotation: dict[str, Any], pixels: bool) -> Iterator[Shape]:
        """The segments of a panoptic PNG."""
        if not pixels:
            yield from (Shape(_named(image.classes, segment)) for segment in annotation["segments_info"])
            return
        png = str(annotation["file_name"])
        found = [name for name in self.files.names if f"/{name}".endswith(f"/{png}")]
        beside = [name for name in found if PurePosixPath(image.file).stem in name] or found
        if len(beside) != 1:
            fault = f"{where}: {len(beside)} files are called {png}"
            raise DatasetError(fault, "put the directory of panoptic PNGs beside the JSON")
        label = read_label_image(self.files.where(beside[0]), self.files.read(beside[0]), image.size)
        ids_hw = _panoptic_ids(label)
        ids, places = np.unique(ids_hw, return_inverse=True)
        part_of = dict(zip(ids.tolist(), ndimage.find_objects(places.reshape(ids_hw.shape) + 1), strict=True))
        for segment in annotation["segments_info"]:
            name = _named(image.classes, segment)
            if (part := part_of.get(segment["id"])) is not None:
                yield Shape(name, None, ids_hw[part] == segment["id"], (part[0].start, part[1].start))


def _categories(written: list[dict[str, Any]]) -> dict[int, str]:
    """The categories by their ids."""
    classes: dict[int, str] = {}
    for category in written:
        number, name = category["id"], category["name"]
        if isinstance(name, list | dict | None) or not str(name).strip():
            raise ValueError(f"category {number} has no name")
        if int(number) in classes:
            raise ValueError(f"two categories have the id {number}: {classes[int(number)]!r} and {name!r}")
        classes[int(number)] = str(name)
    return classes


def _named(classes: dict[int, str], drawn: dict[str, Any]) -> str:
    number = drawn["category_id"]
    if number not in classes:
        raise ValueError(f"an annotation of category {number}, which is not among its categories")
    return classes[number]


def _panoptic_ids(label: LabelImage) -> NDArray[np.int32]:
    """Segment ids of a panoptic PNG, however it is stored; a grey one holds them itself, transparent pixels none."""
    lookup = {code: label.symbol(code).color for code in label.used().tolist()}
    if label.storage in ("grey", "bits"):
        return label.codes_hw
    codes = label.codes_hw
    if label.storage == "palette":
        red, green, blue = np.array([lookup.get(code) or (0, 0, 0) for code in range(256)], np.int32).T[:, codes]
    else:
        red, green, blue = codes >> 16, codes >> 8 & 255, codes & 255
    ids_hw: NDArray[np.int32] = np.where(codes < 0, 0, red | green << 8 | blue << 16)
    return ids_hw


def _stray(annotation: dict[str, Any], drawn: Any) -> str:
    """What an annotation is that has no area; "" for all others."""
    if not drawn:
        return "a box" if annotation.get("bbox") else "an annotation without an outline"
    if isinstance(drawn, list) and all(isinstance(flat, list) and len(flat) < 6 for flat in drawn):
        return f"a polygon of {len(drawn[0]) // 2} points"
    return ""


def _parts(where: str, drawn: Any, size: tuple[int, int]) -> Iterator[Part]:
    """The masks that an annotation joins."""
    if isinstance(drawn, dict):
        yield run_lengths(where, drawn, size)
    elif isinstance(drawn, list):
        outlines = (points for points in drawn if not isinstance(points, list) or len(points) >= 6)
        yield from (flat_polygon(points, size) for points in outlines)
    else:
        raise ValueError("a segmentation that is neither polygons nor run lengths")


def _names(stem: str) -> tuple[str, ...]:
    last = PurePosixPath(stem).name
    return tuple(dict.fromkeys((stem.strip("/"), last)))


def _documents(files: LabelFiles) -> list[str]:
    """COCO's keys in a file's beginning, whichever of its lists comes first; Datumaro has `categories` too."""
    found = documents(files, b"images", b"image_id", b"segments_info", b"licenses")
    return [name for name in found if b'"imagePath"' not in files.head(name)]
