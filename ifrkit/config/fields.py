"""What the fields of several configs share: sizes, names of label formats, the options of a plug-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ifrkit.core.bounds import Natural
from ifrkit.core.config import Config
from ifrkit.core.errors import ConfigError
from ifrkit.core.invalid import Invalid
from ifrkit.core.limits import limit, raised
from ifrkit.core.plugins import load, require, spelled, split_argument

Size = tuple[Natural, Natural]
"""(height, width) in pixels. The config that has one calls `require_possible`."""


def require_possible(field: str, size: object) -> None:
    """Raise Invalid for a size of more pixels than the limit; a word in its place is fine."""
    if isinstance(size, tuple) and size[0] * size[1] > limit("MEGAPIXELS") * 10**6:
        raise Invalid(field, f"more than {limit('MEGAPIXELS')} megapixels, got {[*size]}", raised("MEGAPIXELS"))


def label_formats(named: tuple[str, ...]) -> tuple[str, ...]:
    """Names of label formats as they are written, each once. Raises ConfigError with the nearest for an unknown one."""
    for name in named:
        require("labels", name)
    return tuple(dict.fromkeys(map(spelled, named)))


def plugin_config(kind: str, name: str, value: Any, key: str) -> Config:
    """The plug-in's own Config from a mapping, or from a Config; its own passes through. key: its place, for errors.

    name: may be NAME:ARGUMENT; the argument becomes an option.
    """
    cls: type[Config] = load(kind, name).Config
    plugin, argument = split_argument(name)
    if isinstance(value, Config) and (argument is not None or not isinstance(value, cls)):
        value = value.tree()
    if argument is not None:
        value = _with_argument(cls, plugin, argument, value)
    try:
        return value if isinstance(value, cls) else cls.of({} if value is None else value)
    except Invalid as error:
        raise error.below(key) from None


def _with_argument(cls: type[Config], plugin: str, argument: str, options: Any) -> Any:
    """The options with the argument among them. Raises ConfigError where there is no place for it, or another value."""
    field = cls.ARGUMENT
    if field is None:
        raise ConfigError(f"{plugin}:{argument}: {plugin} takes no argument", f"write {plugin}")
    if not argument:
        raise ConfigError(f"{plugin}: nothing stands after the colon", f"write {plugin}:{field.upper()}")
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        return options  # the Config says what is wrong
    if options.get(field) not in (None, argument):
        raise ConfigError(f"{plugin}:{argument}: `{field}` says {options[field]}", "leave one of them out")
    return {**options, field: argument}
