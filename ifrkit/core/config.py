"""The base of every typed configuration."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ifrkit.core.errors import ConfigError


@dataclass(frozen=True)
class FileContent:
    """Mark on a field that names a file: the id depends on what the file holds, not on its name.

    words: values that name no file and count as they are. digest: of what it names, where that is not one file.
    """

    words: tuple[str, ...] = ()
    digest: Callable[[str], str] | None = None


class ByInput:
    """Mark on a field that names an input artifact: the id of that artifact counts, not how it was named."""


class Config(BaseModel):
    """Frozen, typed, and closed: an unknown key is an error, never ignored."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True
    )  # built when one is first made: a command has a use for few of them

    ARGUMENT: ClassVar[str | None] = None
    """Of a plug-in's own config: the field that NAME:ARGUMENT fills in. None: it takes no argument."""
    PLUGIN: ClassVar[tuple[str, str] | None] = None
    """The field that names a plug-in, and the one with the options of that plug-in."""
    PLUGINS: ClassVar[tuple[str, str] | None] = None
    """The field that names several plug-ins, and the one with the options of each by its name."""

    BORROWS: ClassVar[str | None] = None
    """Section of a recipe or file, of another stage, whose keys of the same names it takes too."""

    def identity(self) -> dict[str, Any]:
        """What the artifact's id depends on: all but `runtime` and the place of the source data.

        Loader workers, logging and the like change how a result is computed, never what it is.
        """
        return _identity(self, self.model_dump(mode="json"))


def files_of(cls: type[Config]) -> list[str]:
    """Its fields that name a file, or a directory."""
    return [name for name, field in cls.model_fields.items() if any(isinstance(m, FileContent) for m in field.metadata)]


def _identity(config: Config, tree: dict[str, Any]) -> dict[str, Any]:
    tree = {key: value for key, value in tree.items() if key not in ("runtime", "root")}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if any(isinstance(mark, ByInput) for mark in field.metadata):
            del tree[name]
        elif isinstance(value, Config) and name in tree:
            tree[name] = _identity(value, tree[name])
        elif isinstance(value, dict):
            parts = {key: (item, tree[name][key]) for key, item in value.items()}
            tree[name] = {k: _identity(i, t) if isinstance(i, Config) else t for k, (i, t) in parts.items()}
        for mark in field.metadata:
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


class NestedError(ValueError):
    """A plug-in's own config did not validate. key: its dotted place below the config that holds it ("": the field)."""

    def __init__(self, key: str, config: type[Config], error: ValidationError) -> None:
        super().__init__(str(error))
        self.key, self.config, self.error = key, config, error


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
