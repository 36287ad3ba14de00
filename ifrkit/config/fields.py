"""What the fields of several configs share: sizes, lists with commas, the options of a plug-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from ifrkit.core.config import Config, NestedError
from ifrkit.core.errors import ConfigError
from ifrkit.core.limits import limit, raised
from ifrkit.core.plugins import load, require, spelled, split_argument


def _possible(size: tuple[int, int]) -> tuple[int, int]:
    if size[0] * size[1] > limit("MEGAPIXELS") * 10**6:
        raise ValueError(f"more than {limit('MEGAPIXELS')} megapixels; {raised('MEGAPIXELS')}")
    return size


Size = Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], AfterValidator(_possible)]
"""(height, width) in pixels."""


def split_commas(value: Any) -> Any:
    """A text with commas as its parts; anything else as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def label_formats(named: tuple[str, ...]) -> tuple[str, ...]:
    """Names of label formats as they are written, each once. Raises ConfigError with the nearest for an unknown one."""
    for name in named:
        require("labels", name)
    return tuple(dict.fromkeys(map(spelled, named)))


def are_names(value: Any) -> bool:
    """Whether plug-ins may be looked up by these; if not, the field's own type says what is wrong."""
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def plugin_config(kind: str, name: str, value: Any, key: str) -> Config:
    """The plug-in's own Config from a mapping (or None); an instance passes through. key: its place, for errors.

    name: may be NAME:ARGUMENT; the argument becomes an option.
    """
    cls: type[Config] = load(kind, name).Config
    plugin, argument = split_argument(name)
    if argument is not None:
        value = _with_argument(cls, plugin, argument, value.model_dump() if isinstance(value, Config) else value or {})
    try:
        return value if isinstance(value, cls) else cls.model_validate(value or {})
    except ValidationError as error:
        raise NestedError(key, cls, error) from None


def _with_argument(cls: type[Config], plugin: str, argument: str, options: Any) -> Any:
    """The options with the argument among them. Raises ConfigError where there is no place for it, or another value."""
    field = cls.ARGUMENT
    if field is None:
        raise ConfigError(f"{plugin}:{argument}: {plugin} takes no argument", f"write {plugin}")
    if not argument:
        raise ConfigError(f"{plugin}: nothing stands after the colon", f"write {plugin}:{field.upper()}")
    if not isinstance(options, Mapping):
        return options  # the Config says what is wrong
    if options.get(field) not in (None, argument):
        raise ConfigError(f"{plugin}:{argument}: `{field}` says {options[field]}", "leave one of them out")
    return {**options, field: argument}
