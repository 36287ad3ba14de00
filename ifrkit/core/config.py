"""The base of every typed configuration."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
    get_type_hints,
)

import msgspec

from ifrkit.core.errors import ConfigError
from ifrkit.core.invalid import Invalid, explained


class FileContent(NamedTuple):
    """Mark on a field that names a file: the id depends on what the file holds, not on its name.

    words: values that name no file and count as they are. digest: of what it names, where that is not one file.
    """

    words: tuple[str, ...] = ()
    digest: Callable[[str], str] | None = None


class ByInput:
    """Mark on a field that names an input artifact: the id of that artifact counts, not how it was named."""


@dataclass_transform(frozen_default=True)
class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frozen, typed, and closed: an unknown key is an error, never ignored.

    `of` checks everything, and is for all that comes from outside. Made by its fields, `LoopConfig(steps=5)`, their
    types and bounds are the matter of the type checker. `__post_init__` runs in both cases, and in `replace` of
    msgspec.structs: it checks what concerns several fields (ValueError, Invalid), and completes (`settle`).
    """

    ARGUMENT: ClassVar[str | None] = None
    """Of a plug-in's own config: the field that NAME:ARGUMENT fills in. None: it takes no argument."""
    PLUGIN: ClassVar[tuple[str, str] | None] = None
    """The field that names a plug-in, and the one with the options of that plug-in."""
    PLUGINS: ClassVar[tuple[str, str] | None] = None
    """The field that names several plug-ins, and the one with the options of each by its name."""

    BORROWS: ClassVar[str | None] = None
    """Section of a recipe or file, of another stage, whose keys of the same names it takes too."""

    COMMAS: ClassVar[tuple[str, ...]] = ()
    """Fields with a list of words, which `of` takes as one text with commas too."""
    FINITE: ClassVar[bool] = True
    """Whether `of` refuses infinity and not-a-number, wherever they stand."""

    @classmethod
    def of(cls, tree: Any) -> Self:
        """From values of YAML or JSON, or texts of numbers. Raises Invalid, which names the dotted key."""
        if isinstance(tree, Mapping) and cls.COMMAS:
            tree = {key: split_commas(value) if key in cls.COMMAS else value for key, value in tree.items()}
        try:
            config = msgspec.convert(tree, cls, strict=False)
        except msgspec.ValidationError as error:
            raise explained(error, cls, tree) from None
        except UnicodeEncodeError:  # bytes that are not UTF-8, in a key or a word
            raise Invalid("", "a key or word in it is not text") from None
        if cls.FINITE:
            _require_finite(config, "")
        return config

    def tree(self) -> dict[str, Any]:
        """The same in JSON's types, which `of` takes."""
        return {name: _plain(getattr(self, name)) for name in self.__struct_fields__}

    def identity(self) -> dict[str, Any]:
        """What the artifact's id depends on: all but `runtime` and the place of the source data.

        Loader workers, logging and the like change how a result is computed, never what it is.
        """
        return _identity(self)


C = TypeVar("C")
if TYPE_CHECKING:
    Open = Annotated[C, "open"]
else:

    class Open:
        """A field, `Open[Config]`, that holds any subclass: `__post_init__` makes it of what `of` was given for it."""

        def __class_getitem__(cls, kind: Any) -> Any:
            return Any


def settle(config: Config, **values: Any) -> None:
    """Complete a config in its `__post_init__`."""
    for name, value in values.items():
        msgspec.structs.force_setattr(config, name, value)


def split_commas(value: Any) -> Any:
    """A text with commas as its parts; anything else as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def defaults(cls: type[Config]) -> dict[str, Any]:
    """The defaults of its fields, of those that have one."""
    names, values = cls.__struct_fields__, cls.__struct_defaults__
    found = zip(names[len(names) - len(values) :], values, strict=True)
    return {name: value for name, value in found if value is not msgspec.NODEFAULT}


def files_of(cls: type[Config]) -> list[str]:
    """Its fields that name a file, or a directory."""
    return [name for name, marks in _marks(cls).items() if any(isinstance(mark, FileContent) for mark in marks)]


@cache
def _marks(cls: type[Config]) -> dict[str, list[FileContent | ByInput]]:
    """The marks of its fields, of those that have one."""
    hints = get_type_hints(cls, include_extras=True)
    found = {name: [m for m in get_args(hints[name]) if isinstance(m, FileContent | ByInput)] for name in hints}
    return {name: found[name] for name in cls.__struct_fields__ if found[name]}


def _require_finite(value: Any, key: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(key, f"has to be a finite number, got {value!r}")
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Config):
        inner = ((name, getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    for name, item in inner:
        _require_finite(item, f"{key}.{name}" if key else str(name))


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return value.tree()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [_plain(item) for item in value]


def _identity(config: Config) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in config.__struct_fields__:
        value, marks = getattr(config, name), _marks(type(config)).get(name, [])
        if name in ("runtime", "root") or any(isinstance(mark, ByInput) for mark in marks):
            continue
        if isinstance(value, Config):
            tree[name] = _identity(value)
        elif isinstance(value, dict):
            tree[name] = {k: _identity(item) if isinstance(item, Config) else _plain(item) for k, item in value.items()}
        else:
            tree[name] = _plain(value)
        for mark in marks:
            if isinstance(mark, FileContent) and value not in (None, *mark.words):
                tree[name] = mark.digest(value) if mark.digest else _content(name, value)
    return tree


def _content(name: str, path: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe or a device may not end
            raise ConfigError(f"{name}: {path} is not a plain file", "give the file itself")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read ({error.strerror})", "check the path") from None


class Runtime(Config):
    """How to run, without any influence on the result (and so no part of an artifact's id)."""

    workers: int = 2
    """Loader processes; 0 reads in the training process."""
    log_every: int = 20
    """Steps between two lines of the event log."""
    save_every: int = 500
    """Steps between two saved resume states."""
    tensorboard: bool = False
    """Also write TensorBoard event files (needs the `tb` extra)."""
