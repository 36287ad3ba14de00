"""The fields of every config that ships: types that msgspec can tell apart, defaults within bounds, sizes checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from ifrkit.config.fields import Size
from ifrkit.core.bounds import Natural, require_apart
from ifrkit.core.config import Config, defaults
from ifrkit.core.invalid import Invalid
from ifrkit.core.plugins import load, names
from ifrkit.core.stage import stages

NEEDED: dict[str, dict[str, Any]] = {
    "PrepareConfig": {"dataset": "synthetic"},
    "PredictConfig": {"videos": ("v.mp4",)},
    "PlanConfig": {"what": "48x96"},
}
"""What a config with a size cannot be without."""


def _below(cls: type[Config]) -> Iterator[type[Config]]:
    for each in cls.__subclasses__():
        if each.__module__.partition(".")[0] in ("ifrkit", "data_prep"):
            yield each
            yield from _below(each)


def _configs() -> list[type[Config]]:
    for stage in stages():
        assert stage.config_type
    for kind in ("datasets", "backbones", "methods"):
        for name in names(kind):
            load(kind, name)
    return sorted(set(_below(Config)), key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


CONFIGS = _configs()


@pytest.mark.parametrize("cls", CONFIGS, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_defaults_are_what_the_fields_take(cls: type[Config]) -> None:
    """Nothing looks at them later; a whole number would stand in JSON where others have 1.0."""
    require_apart(cls)
    assert "of" not in vars(cls)  # `of` reads what was written, whatever else makes one
    hints = get_type_hints(cls, include_extras=True)
    for name, value in defaults(cls).items():
        if value is msgspec.UNSET or isinstance(value, Config) or hints[name] is Any:
            continue
        made = value.factory() if hasattr(value, "factory") else value
        assert repr(msgspec.convert(made, hints[name], strict=True)) == repr(made), name


class Mixed(Config):
    """What no config may have."""

    sizes: list[str | Natural | tuple[int, int]] = []


class Apart(Config):
    """What it may have."""

    size: int | Size | None = None
    sizes: Natural | tuple[int, ...] = 1


def test_bounded_numbers_and_tuples_are_kept_apart() -> None:
    require_apart(Apart)
    with pytest.raises(AssertionError, match=r"sizes: .* msgspec mixes them up"):
        require_apart(Mixed)


def test_every_size_is_bounded() -> None:
    """A config with a size has to call `require_possible`."""
    found = 0
    for cls in CONFIGS:
        for name, kind in get_type_hints(cls, include_extras=True).items():
            if kind == Size or Size in get_args(kind):
                found += 1
                with pytest.raises(Invalid, match=f"^{name}: more than 64 megapixels"):
                    cls.of({**NEEDED.get(cls.__name__, {}), name: (100_000, 100_000)})
    assert found >= 6
