"""The class table of the user's own labels: read from YAML, or derived from the ids in the label images.

classes:
  road: [128, 64, 128]                  # colour; its id is its place in this list, from 0
  car: {color: [0, 0, 142], id: 26}     # id: what grey or indexed label images hold for it
  sky: {id: 23}                         # without a colour: labels hold ids only
ignore: [255, [0, 0, 0], ego vehicle]   # ids, colours and names that mean "no class"; default [255]

A class named `background` is what nobody labeled: the pixels outside every polygon and brush. Without one they are
ignored. The name `__ignore__` always means "no class".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError, field_validator

from ifrkit.core.config import Config
from ifrkit.core.errors import DatasetError
from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.media.palette import RGB, distinct_colors, ids_of_colors

_Byte = Annotated[int, Field(ge=0, le=255)]
_Id = Annotated[int, Field(ge=0, le=65535)]
BACKGROUND = "background"
IGNORED = "__ignore__"
"""What is drawn with this name is ignored, whatever the tool and the class table: LabelMe's name for it."""
_MOST_IDS = 1 << 16
_UNKNOWN = 254
_MOST_DERIVED = 64
"""An image with more distinct ids than this is not a label (a photograph, a blurred mask)."""


class _Class(Config):
    color: tuple[_Byte, _Byte, _Byte] | None = None
    id: _Id | None = None


class _File(Config):
    classes: dict[str, _Class] = Field(min_length=1, max_length=254)
    ignore: list[_Id | tuple[_Byte, _Byte, _Byte] | str] = [IGNORE]

    @field_validator("classes", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: {"color": v} if isinstance(v, list) else (v or {}) for name, v in value.items()}
        return value


class ClassTable(Config):
    """From stored ids, colours and names to class ids.

    by_id: stored id -> class (255: ignored). by_color: the same for colours; empty when no class has a colour. by_name:
    the same for names.
    """

    space: LabelSpace
    by_id: dict[int, int]
    by_color: dict[RGB, int]
    by_name: dict[str, int]

    @property
    def unlabeled(self) -> int:
        """The id of what nobody labeled."""
        return self.by_name.get(BACKGROUND, IGNORE)

    def lacks(self, fault: str, name: str) -> DatasetError:
        """The error for a class that labels have and the table has not. fault: where and how often."""
        near = next((known for known in self.by_name if known.lower() == name.lower()), None)
        add = "add it to classes.yaml, as a class or under ignore"
        return DatasetError(
            f"{fault}, which is not in the class table", f"it has {near!r}: write both alike" if near else add
        )

    def convert(self, raw: NDArray[np.int64], where: Path | str) -> Label:
        """A label image as stored, (h, w) or (h, w, 3), as class ids.

        Raises DatasetError for an id or a colour that the table does not have.
        """
        return self._from_colors(raw, where) if raw.ndim == 3 else ids_of_ids(raw, self.by_id, where)

    def _from_colors(self, raw: NDArray[np.int64], where: Path | str) -> Label:
        label, unknown = ids_of_colors(raw, self.by_color)
        if unknown.any():
            colors, counts = np.unique(raw[unknown], axis=0, return_counts=True)
            worst = counts.argmax()
            raise DatasetError(
                f"{where}: {int(unknown.sum())} pixels in {len(colors)} colours outside the class table, most of them "
                f"{counts[worst]} x {colors[worst].tolist()}",
                "add the colour to classes.yaml, as a class or under ignore",
            )
        return label


def ids_of_ids(raw_hw: NDArray[np.int64], by_id: dict[int, int], where: Path | str) -> Label:
    """Class ids of stored ids. Raises DatasetError for ids that are not in the table."""
    table = np.full(_MOST_IDS + 2, _UNKNOWN, np.uint8)  # at both ends a place for all ids outside
    table[1 + np.array(list(by_id), np.int64)] = list(by_id.values())
    label: Label = table[1 + raw_hw.clip(-1, _MOST_IDS)]
    wrong = np.unique(raw_hw[label == _UNKNOWN])
    if wrong.size:
        raise DatasetError(
            f"{where}: label ids {', '.join(map(str, wrong[:8].tolist()))} are outside the label space",
            "add them to classes.yaml, as classes or under ignore",
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
    by_name = {name: index for index, name in enumerate(file.classes)}
    for index, (name, entry) in enumerate(file.classes.items()):
        _add(by_id, index if entry.id is None else entry.id, index, f"{path}: id of {name}")
        if entry.color is not None:
            _add(by_color, entry.color, index, f"{path}: colour of {name}")
    for void in file.ignore:
        if isinstance(void, int):
            _add(by_id, void, IGNORE, f"{path}: ignore")
        elif isinstance(void, str):
            _add(by_name, void, IGNORE, f"{path}: ignore")
        else:
            _add(by_color, void, IGNORE, f"{path}: ignore")
    by_name.setdefault(IGNORED, IGNORE)
    return ClassTable(space=space, by_id=by_id, by_color=by_color, by_name=by_name)


def named_table(where: str, names: Sequence[str], colors: Sequence[RGB] = ()) -> ClassTable:
    """A table of classes by their names, for labels that bring them along: ids are places in the list.

    `__ignore__` may be among the names; it is left out of the classes.
    """
    if IGNORED in names:
        colors = [color for name, color in zip(names, colors, strict=False) if name != IGNORED]
        names = [name for name in names if name != IGNORED]
    if not 1 <= len(names) <= _UNKNOWN:
        raise DatasetError(f"{where}: has {len(names)} classes", f"a label space has 1 to {_UNKNOWN}")
    space = LabelSpace(names=tuple(names), colors=tuple(colors) or distinct_colors(len(names)))
    by_name = {name: i for i, name in enumerate(names)} | {IGNORED: IGNORE}
    return ClassTable(
        space=space, by_id={i: i for i in range(len(names))} | {IGNORE: IGNORE}, by_color={}, by_name=by_name
    )


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


def derive_table(labels: Iterable[tuple[str, NDArray[np.int64]]]) -> ClassTable:
    """A table for grey or indexed labels (name, ids) without classes.yaml: classes named after the ids that occur."""
    present: set[int] = set()
    for where, raw in labels:
        if raw.ndim == 3:
            colors = np.unique(raw.reshape(-1, 3), axis=0)
            raise DatasetError(
                f"{where}: a label in {len(colors)} colours ({colors[:4].tolist()} ...), and there is no class table",
                "write a classes.yaml that names each colour",
            )
        present |= {int(i) for i in np.unique(raw)} - {IGNORE}
        if len(present) > _MOST_DERIVED:
            raise DatasetError(
                f"{where}: more than {_MOST_DERIVED} distinct ids; is this a label?", "write classes.yaml"
            )
    if not present:
        raise DatasetError("no label holds any class id", "write a classes.yaml, or label a frame")
    ids = sorted(present)
    names = tuple(f"class_{i}" for i in ids)
    return ClassTable(
        space=LabelSpace(names=names, colors=distinct_colors(len(ids))),
        by_id={stored: i for i, stored in enumerate(ids)} | {IGNORE: IGNORE},
        by_color={},
        by_name={name: i for i, name in enumerate(names)},
    )
