"""What the fields of several configs share: sizes, lists with commas, the options of a plug-in."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError

from ifrkit.core.config import Config, NestedError
from ifrkit.core.plugins import load

Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
"""(height, width) in pixels."""


def split_commas(value: Any) -> Any:
    """A text with commas as its parts; anything else as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def are_names(value: Any) -> bool:
    """Whether plug-ins may be looked up by these; if not, the field's own type says what is wrong."""
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


def plugin_config(kind: str, name: str, value: Any, key: str) -> Config:
    """The plug-in's own Config from a mapping (or None); an instance passes through. key: its place, for errors."""
    cls: type[Config] = load(kind, name).Config
    try:
        return value if isinstance(value, cls) else cls.model_validate(value or {})
    except ValidationError as error:
        raise NestedError(key, cls, error) from None
