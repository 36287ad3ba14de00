"""What is wrong with a value that a config does not take, in words: the dotted key, what it has to be, what it is.

msgspec says where it stopped and why, for programmers. Here the place is taken from it, and the words from the type of
the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import nearest

MISSING = "has to be given"
_PLACE = r" - at (?P<keys>`key` in )?`\$(?P<path>[^`]*)`$"
_STEP = r"\.(?P<name>\w+)|\[(?P<place>\d+|\.\.\.)\]"


class Invalid(ConfigError, ValueError):
    """key: dotted place of what is wrong ("": the whole). fault: what is wrong with it, and what it is."""

    def __init__(self, key: str, fault: str, remedy: str = "") -> None:
        super().__init__(f"{key}: {fault}" if key else fault, remedy)
        self.key, self.fault = key, fault

    def below(self, key: str) -> Invalid:
        """The same, of a config that lies at this dotted place in another."""
        return Invalid(".".join(filter(None, (key, self.key))), self.fault, self.remedy)


def explained(error: msgspec.ValidationError, kind: Any, value: Any) -> Invalid:
    """What msgspec said when it made this kind of the value."""
    try:
        return _explained(error, kind, value)
    except (LookupError, StopIteration):  # a key that looks like msgspec's own words
        return Invalid("", str(error))


def _explained(error: msgspec.ValidationError, kind: Any, value: Any) -> Invalid:
    place, cause, said = re.search(_PLACE, str(error)), error.__cause__, str(error)
    keys: list[str] = []
    for step in re.finditer(_STEP, place["path"] if place else ""):
        if step["place"] == "...":
            return _of_a_mapping(kind, value).below(".".join(keys))
        name = step["name"] or int(step["place"])
        kind, value = _inner(kind, name), value[name]
        keys.append(str(name))
    if isinstance(cause, Invalid):
        fault = cause
    elif cause is not None:
        fault = Invalid("", str(cause) + _got(value))
    elif place and place["keys"]:
        odd = next((key for key in value if not isinstance(key, str)), None)
        fault = Invalid("", "unknown key") if odd is None else Invalid(str(odd), "has to be text, in quotes")
    elif said.startswith("Object contains unknown field"):
        known = list(_struct(kind).__struct_fields__)
        unknown = next(key for key in value if key not in known)
        fault = Invalid(unknown, "unknown key", nearest(unknown, known))
    elif missing := re.match("Object missing required field `(.+?)`", said):
        fault = Invalid(missing[1], MISSING)
    else:
        fault = Invalid("", f"has to be {_in_words(kind, value)}{_got(value)}")
    return fault.below(".".join(keys))


def _of_a_mapping(kind: Any, value: Mapping[str, Any]) -> Invalid:
    """The first bad item of a mapping: msgspec does not say which it was."""
    item_kind = get_args(next(each for each in _members(kind) if get_origin(each) is dict))[1]
    for key, item in value.items():
        try:
            msgspec.convert(item, item_kind, strict=False)
        except msgspec.ValidationError as error:
            return explained(error, item_kind, item).below(str(key))
    raise LookupError("all items are good alone")


def _got(value: Any) -> str:
    return "" if isinstance(value, Mapping) and value else f", got {value!r}"


def _members(kind: Any) -> list[Any]:
    """The types that a field may be of, each without what is annotated."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [each for member in get_args(kind) for each in _members(member)]
    return [kind]


def _struct(kind: Any) -> type[msgspec.Struct]:
    return next(each for each in _members(kind) if isinstance(each, type) and issubclass(each, msgspec.Struct))


def _inner(kind: Any, name: str | int) -> Any:
    """The type of a field, or of an item of a list."""
    if isinstance(name, str):
        return get_type_hints(_struct(kind), include_extras=True)[name]
    items = next(get_args(each) for each in _members(kind) if _alike(each, []))
    return items[0] if len(items) == 1 or items[1] is Ellipsis else items[name]


def _alike(kind: Any, value: Any) -> bool:
    """Whether a value is written as those of this type are."""
    origin = get_origin(kind) or kind
    if origin is Annotated:
        return _alike(get_args(kind)[0], value)
    if origin is Literal:
        return isinstance(value, str)
    if not isinstance(origin, type) or isinstance(value, bool):
        return origin is type(value)
    if issubclass(origin, msgspec.Struct | dict):
        return isinstance(value, Mapping)
    if issubclass(origin, int | float):
        return isinstance(value, int | float)
    if issubclass(origin, Sequence) and origin is not str:
        return isinstance(value, list | tuple)
    return isinstance(value, origin)


_PLAIN = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "null"}
_BOUNDS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("gt", lambda bound: f"above {bound:g}"),
    ("ge", lambda bound: f"at least {bound:g}"),
    ("lt", lambda bound: f"below {bound:g}"),
    ("le", lambda bound: f"at most {bound:g}"),
    ("min_length", lambda length: f"at least {length} of them"),
    ("max_length", lambda length: f"at most {length} of them"),
    ("pattern", lambda pattern: f"of the form {pattern}"),
)


def _in_words(kind: Any, value: Any) -> str:
    """What a value has to be. Of several types, those that it comes nearest to."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        near = [each for each in args if _alike(each, value)] or args
        return ", or ".join(_in_words(each, value) for each in near)
    if origin is Annotated:
        metas = [mark for mark in args[1:] if isinstance(mark, msgspec.Meta)]
        limits = [(words, getattr(meta, name)) for meta in metas for name, words in _BOUNDS]
        bounds = " and ".join(words(bound) for words, bound in limits if bound is not None)
        return ", ".join(filter(None, (_in_words(args[0], value), bounds)))
    if origin is Literal:
        *others, last = map(repr, args)
        return f"{', '.join(others)} or {last}" if others else last
    if origin is tuple and args[-1] is not Ellipsis:
        return f"a list of {len(args)}, each {_in_words(args[0], value)}"
    if _alike(kind, []):
        return f"a list, each {_in_words(args[0], value)}" if args else "a list"
    return _PLAIN.get(kind, "a table of keys and values")
