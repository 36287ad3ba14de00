"""Ultralytics' semantic masks: grey images of class ids, in a directory that the dataset's YAML names.

    data.yaml                        names: {0: road, 1: car}, masks_dir: masks
    masks/train/street_000031.png    pixels are ids of `names`; 255 is ignored

The masks alone, without the YAML, are plain PNG labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import yaml

from ifrkit.core.records import Label
from ifrkit.labels._ultralytics import class_names, dataset_files, frame_names
from ifrkit.labels.base import Entry, LabelFiles, LabelReader
from ifrkit.media.classes import ClassTable, named_table
from ifrkit.media.images import png_bytes
from ifrkit.media.label_image import read_label_image
from ifrkit.media.meaning import class_ids, ids_of_names

_SUFFIXES = (".png", ".bmp", ".tif")


class Labels(LabelReader):
    """Classes go by their names, so a class table of the user's own may have them in another order."""

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return bool(files.ending(".png")) and _directory(files) is not None and bool(cls(files).entries())

    def entries(self) -> list[Entry]:
        files = sorted(name for suffix in _SUFFIXES for name in self.files.ending(suffix))
        inside = [name for name in files if f"/{self._masks}/" in f"/{name}"]
        return [Entry(name, frame_names(name, self._masks)) for name in inside]

    def table(self, keys: Sequence[str]) -> ClassTable:
        return named_table(str(self.files.path), list(self._names.values()))

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self.files.where(key)
        image = read_label_image(where, self.files.read(key), size)
        if image.storage == "colors":
            return class_ids(image, "colors", table, where)
        return ids_of_names(image, self._names, {}, table, where)

    @classmethod
    def make_toy(cls, labels: Mapping[str, Label], classes: Sequence[str]) -> dict[str, bytes]:
        tree = {"names": dict(enumerate(classes)), "masks_dir": "masks", "train": "images/train"}
        masks = {f"masks/train/{name}.png": png_bytes(ids) for name, ids in labels.items()}
        return {"data.yaml": yaml.safe_dump(tree).encode(), **masks}

    @cached_property
    def _names(self) -> dict[int, str]:
        return class_names(self.files)

    @cached_property
    def _masks(self) -> str:
        return _directory(self.files) or "masks"


def _directory(files: LabelFiles) -> str | None:
    """The name of the directory of masks, as the dataset's YAML has it."""
    found = (tree.get("masks_dir") for _, tree in dataset_files(files))
    return next((masks.strip("/") for masks in found if isinstance(masks, str)), None)
