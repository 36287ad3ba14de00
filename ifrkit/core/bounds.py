"""Numbers that a config takes: types with bounds, for its fields. Any other bound is `Annotated[float, Meta(le=4)]`.

No field may be a bounded number or a tuple of so many items, `Natural | tuple[int, int]`: msgspec (up to 0.23) mixes
up the two, and crashes later. The contract tests of plug-ins look for it.
"""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
"""0, 1, 2, ..."""
Natural = Annotated[int, Meta(ge=1)]
"""1, 2, 3, ..."""
NotNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
"""From 0 to 1, both included."""


def require_apart(config: type) -> None:
    """Raise AssertionError for a config with a field of such a type."""
    for name, kind in get_type_hints(config, include_extras=True).items():
        _require_apart(name, kind)


def _require_apart(name: str, kind: Any) -> None:
    args = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        bounded = any(isinstance(mark, Meta) for each in args for mark in get_args(each)[1:] if _number(each))
        if bounded and any(get_origin(each) is tuple and get_args(each)[-1] is not Ellipsis for each in args):
            raise AssertionError(f"{name}: a bounded number, or a tuple of so many items: msgspec mixes them up")
    for each in args:
        _require_apart(name, each)


def _number(kind: Any) -> bool:
    return get_origin(kind) is Annotated and get_args(kind)[0] in (int, float)
