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

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from ifrkit.config.yamlio import read_yaml
from ifrkit.core.config import Config
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.core.invalid import Invalid
from ifrkit.core.records import IGNORE, LabelSpace
from ifrkit.media.palette import RGB, distinct_colors

_Byte = Annotated[int, Meta(ge=0, le=255)]
_LARGEST = 65535
"""Id in a label image of 16 bits."""
BACKGROUND = "background"
MOST = 254
"""Classes that a label tells apart."""
IGNORED = "__ignore__"
"""What is drawn with this name is ignored, whatever the tool and the class table: LabelMe's name for it."""


class _Class(Config):
    color: tuple[_Byte, _Byte, _Byte] | None = None
    id: Annotated[int, Meta(ge=0, le=_LARGEST)] | None = None


class _File(Config):
    classes: Annotated[dict[str, _Class | tuple[_Byte, _Byte, _Byte] | None], Meta(min_length=1, max_length=MOST)]
    ignore: list[int | tuple[_Byte, _Byte, _Byte] | str] | UnsetType = UNSET

    def __post_init__(self) -> None:
        for name, times in Counter(map(one_spelling, self.classes)).items():
            if times > 1:
                fault = f"{name!r} is given twice, with other blanks or letters that look the same"
                raise Invalid("classes", fault)
        for place, void in enumerate(self.ignore or ()):
            if isinstance(void, int) and not 0 <= void <= _LARGEST:
                raise Invalid(f"ignore.{place}", f"has to be an id from 0 to {_LARGEST}, got {void}")

    @property
    def entries(self) -> dict[str, _Class]:
        """The classes, each in the long form."""
        whole = (value if isinstance(value, _Class) else _Class(color=value) for value in self.classes.values())
        return dict(zip(map(one_spelling, self.classes), whole, strict=True))


class ClassTable(Config):
    """From stored ids, colours and names to class ids.

    by_id: stored id -> class (255: ignored). by_color: the same for colours; empty when no class has a colour. by_name:
    the same for names. assumed: ids in by_id that the table does not write (255, ignored by default)."""

    space: LabelSpace
    by_id: dict[int, int]
    by_color: dict[RGB, int]
    by_name: dict[str, int]
    assumed: frozenset[int] = frozenset()

    @property
    def colored(self) -> bool:
        """Whether any class has a colour."""
        return any(index != IGNORE for index in self.by_color.values())

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


def one_spelling(name: str) -> str:
    """A class's name without blanks around it, and with one code for each letter: tools write "ü" in two ways."""
    return unicodedata.normalize("NFC", name).strip()


def read_table(path: Path) -> ClassTable:
    """The class table in a YAML file. Raises DatasetError that names the key at fault."""
    try:
        file = _File.of(read_yaml(path))
    except Invalid as error:
        raise DatasetError(
            f"{path}: {error.message}" if error.key else f"{path}: it has no classes",
            "expected `classes: {NAME: [R, G, B]}` or `{NAME: {color: [R, G, B], id: N}}`",
        ) from error
    except ConfigError as error:
        raise DatasetError(error.message, "correct the class table") from error
    classes = file.entries
    colors = distinct_colors(len(classes))
    space = LabelSpace(
        names=tuple(classes),
        colors=tuple(c.color or colors[i] for i, c in enumerate(classes.values())),
    )
    by_id: dict[int, int] = {}
    by_color: dict[RGB, int] = {}
    by_name = {name: index for index, name in enumerate(classes)}
    for index, (name, entry) in enumerate(classes.items()):
        _add(by_id, index if entry.id is None else entry.id, index, f"{path}: id of {name}")
        if entry.color is not None:
            _add(by_color, entry.color, index, f"{path}: colour of {name}")
    written = not isinstance(file.ignore, UnsetType)
    ignored = [] if IGNORE in by_id else [IGNORE]
    for void in ignored if isinstance(file.ignore, UnsetType) else file.ignore:
        if isinstance(void, int):
            _add(by_id, void, IGNORE, f"{path}: ignore")
        elif isinstance(void, str):
            _add(by_name, one_spelling(void), IGNORE, f"{path}: ignore")
        else:
            _add(by_color, void, IGNORE, f"{path}: ignore")
    by_name.setdefault(IGNORED, IGNORE)
    assumed = frozenset() if written or by_id[IGNORE] != IGNORE else frozenset({IGNORE})
    return ClassTable(space=space, by_id=by_id, by_color=by_color, by_name=by_name, assumed=assumed)


def named_table(where: str, names: Sequence[str], colors: Sequence[RGB] = ()) -> ClassTable:
    """A table of classes by their names, for labels that bring them along: ids are places in the list.

    `__ignore__` may be among the names; it is left out of the classes.
    """
    names = [one_spelling(name) for name in names]
    if "" in names:
        raise DatasetError(f"{where}: has a class without a name", "give it one in the labeling tool, and export again")
    if IGNORED in names:
        colors = [color for name, color in zip(names, colors, strict=False) if name != IGNORED]
        names = [name for name in names if name != IGNORED]
    if not 1 <= len(names) <= MOST:
        raise DatasetError(f"{where}: has {len(names)} classes", f"a label space has 1 to {MOST}")
    space = LabelSpace(names=tuple(names), colors=tuple(colors) or distinct_colors(len(names)))
    by_name = {name: i for i, name in enumerate(names)} | {IGNORED: IGNORE}
    return ClassTable(
        space=space, by_id={i: i for i in range(len(names))} | {IGNORE: IGNORE}, by_color={}, by_name=by_name
    )


def _add(table: dict[Any, int], key: Any, index: int, what: str) -> None:
    if key in table:
        raise DatasetError(f"{what}: {key} is given twice", "every id and colour stands for one class")
    table[key] = index
