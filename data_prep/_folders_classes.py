"""The class table of the user's own labels: read from YAML, or derived from the ids in the label images.

classes:
  road: [128, 64, 128]                  # colour; its id is its place in this list, from 0
  car: {color: [0, 0, 142], id: 26}     # id: what grey or indexed label images hold for it
  sky: {id: 23}                         # without a colour: labels hold ids only
ignore: [255, [0, 0, 0]]                # ids and colours that mean "no class"; default [255]
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from data_prep._images import read_raw_label
from data_prep._palette import RGB, distinct_colors, ids_of_colors
from data_prep.base import Label
from ifrkit.config.base import Config
from ifrkit.data.records import IGNORE, LabelSpace
from ifrkit.errors import DatasetError

_Byte = Annotated[int, Field(ge=0, le=255)]
_Id = Annotated[int, Field(ge=0, le=65535)]
_MOST_DERIVED = 64
"""More distinct ids than this are no label image (a photograph, a blurred mask)."""


class _Class(Config):
    color: tuple[_Byte, _Byte, _Byte] | None = None
    id: _Id | None = None


class _File(Config):
    classes: dict[str, _Class] = Field(min_length=1, max_length=254)
    ignore: list[_Id | tuple[_Byte, _Byte, _Byte]] = [IGNORE]

    @field_validator("classes", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: {"color": v} if isinstance(v, list) else (v or {}) for name, v in value.items()}
        return value


class ClassTable(Config):
    """From stored ids and colours to class ids.

    by_id: stored id -> class (255: ignored). by_color: the same for colours; empty when no class has a colour.
    """

    space: LabelSpace
    by_id: dict[int, int]
    by_color: dict[RGB, int]

    def read(self, path: Path) -> Label:
        """One label image as class ids. Raises DatasetError for an id or a colour that the table does not have."""
        raw = read_raw_label(path)
        return self._from_colors(raw, path) if raw.ndim == 3 else self._from_ids(raw, path)

    def _from_ids(self, raw: NDArray[np.int64], path: Path) -> Label:
        present, inverse = np.unique(raw, return_inverse=True)
        wrong = [int(i) for i in present if int(i) not in self.by_id]
        if wrong:
            raise DatasetError(
                f"{path}: label ids {', '.join(map(str, wrong[:8]))} are outside the label space",
                "add them to classes.yaml, as classes or under ignore",
            )
        return np.array([self.by_id[int(i)] for i in present], np.uint8)[inverse].reshape(raw.shape)

    def _from_colors(self, raw: NDArray[np.int64], path: Path) -> Label:
        label, unknown = ids_of_colors(raw, self.by_color)
        if unknown.any():
            colors, counts = np.unique(raw[unknown], axis=0, return_counts=True)
            worst = counts.argmax()
            raise DatasetError(
                f"{path}: {int(unknown.sum())} pixels in {len(colors)} colours outside the class table, most of them "
                f"{counts[worst]} x {colors[worst].tolist()}",
                "add the colour to classes.yaml, as a class or under ignore",
            )
        return label


def read_table(path: Path) -> ClassTable:
    """The class table in a YAML file. Raises DatasetError that names the key at fault."""
    try:
        file = _File.model_validate(yaml.load(path.read_text("utf-8"), _Loader))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{path}: no readable YAML ({' '.join(str(error).split())})", "correct the file") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(
            f"{path}: {where}: {first['msg']}",
            "expected `classes: {NAME: [R, G, B]}` or `{NAME: {color: [R, G, B], id: N}}`",
        ) from error
    colors = distinct_colors(len(file.classes))
    space = LabelSpace(
        names=tuple(file.classes),
        colors=tuple(c.color or colors[i] for i, c in enumerate(file.classes.values())),
    )
    by_id: dict[int, int] = {}
    by_color: dict[RGB, int] = {}
    for index, (name, entry) in enumerate(file.classes.items()):
        _add(by_id, index if entry.id is None else entry.id, index, f"{path}: id of {name}")
        if entry.color is not None:
            _add(by_color, entry.color, index, f"{path}: colour of {name}")
    for void in file.ignore:
        if isinstance(void, int):
            _add(by_id, void, IGNORE, f"{path}: ignore")
        else:
            _add(by_color, void, IGNORE, f"{path}: ignore")
    return ClassTable(space=space, by_id=by_id, by_color=by_color)


def _add(table: dict[Any, int], key: Any, index: int, what: str) -> None:
    if key in table:
        raise DatasetError(f"{what}: {key} is given twice", "every id and colour stands for one class")
    table[key] = index


class _Loader(yaml.SafeLoader):
    """YAML that refuses a class named twice (plain YAML keeps the last one silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                problem=f"{twice[0]!r} is given twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


def derive_table(labels: Iterable[Path]) -> ClassTable:
    """A table for grey or indexed labels without classes.yaml: classes are named after the ids that occur."""
    present: set[int] = set()
    for path in labels:
        raw = read_raw_label(path)
        if raw.ndim == 3:
            colors = np.unique(raw.reshape(-1, 3), axis=0)
            raise DatasetError(
                f"{path}: a label in {len(colors)} colours ({colors[:4].tolist()} ...), and there is no class table",
                "write a classes.yaml that names each colour",
            )
        present |= {int(i) for i in np.unique(raw)} - {IGNORE}
        if len(present) > _MOST_DERIVED:
            raise DatasetError(
                f"{path}: more than {_MOST_DERIVED} distinct ids; is this a label?", "write classes.yaml"
            )
    if not present:
        raise DatasetError("no label holds any class id", "write a classes.yaml, or label a frame")
    ids = sorted(present)
    space = LabelSpace(names=tuple(f"class_{i}" for i in ids), colors=distinct_colors(len(ids)))
    return ClassTable(space=space, by_id={stored: i for i, stored in enumerate(ids)} | {IGNORE: IGNORE}, by_color={})
