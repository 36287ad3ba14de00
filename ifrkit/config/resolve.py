"""One typed config from its layers: defaults < recipes < --config < flags and --set, each value with its origin."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ifrkit.core.config import Config, defaults
from ifrkit.core.errors import ConfigError
from ifrkit.core.invalid import MISSING, Invalid
from ifrkit.core.lazy import lazy
from ifrkit.core.plugins import nearest, spelled
from ifrkit.core.stage import sections

if TYPE_CHECKING:
    from ifrkit.config import yamlio
else:
    yamlio = lazy("ifrkit.config.yamlio")

C = TypeVar("C", bound=Config)

DEFAULT = "default"
_RECIPES = Path(__file__).parents[1] / "recipes"


@dataclass
class Layers:
    """The values given so far for a config, as a tree, and where each came from (dotted key -> origin)."""

    cls: type[Config]
    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def add(self, tree: Mapping[str, Any], origin: str) -> None:
        """Put a layer on top: mappings are merged, everything else is replaced."""
        if self.cls.PLUGIN is not None:
            field, options = self.cls.PLUGIN
            name = tree.get(field)
            if name is not None and spelled(str(self.tree.get(field, name))) != spelled(str(name)):
                self._drop(options)  # they belong to the plug-in that the lower layer named
        self._merge(self.tree, tree, origin, "")

    def drop_foreign_options(self) -> None:
        """Forget what a recipe says about a plug-in that was not chosen; asked for by hand, it stays and is refused."""
        if self.cls.PLUGINS is None:
            return
        field, options = self.cls.PLUGINS
        chosen, given = self.tree.get(field, defaults(self.cls)[field]), self.tree.get(options)
        listed = chosen.split(",") if isinstance(chosen, str) else chosen
        if not isinstance(listed, list | tuple) or not isinstance(given, dict):
            return  # nothing to forget, or the config itself says what is wrong
        names = [spelled(str(name).strip()) for name in listed]
        for name in [n for n in given if spelled(str(n)) not in names]:
            dotted = f"{options}.{name}"
            if all(o.startswith("recipe ") for k, o in self.origins.items() if f"{k}.".startswith(f"{dotted}.")):
                del given[name]
                self._forget(dotted)

    def _merge(self, below: dict[str, Any], above: Mapping[str, Any], origin: str, prefix: str) -> None:
        for key, value in above.items():
            dotted = f"{prefix}{key}"
            if isinstance(value, Mapping) and value:
                if not isinstance(below.get(key), dict):
                    self._forget(dotted)
                    below[key] = {}
                self._merge(below[key], value, origin, f"{dotted}.")
            else:
                self._forget(dotted)
                below[key] = value
                self.origins[dotted] = origin

    def _drop(self, key: str) -> None:
        self.tree.pop(key, None)
        self._forget(key)

    def _forget(self, dotted: str) -> None:
        for key in [k for k in self.origins if f"{k}.".startswith(f"{dotted}.")]:
            del self.origins[key]


def resolve(
    cls: type[C],
    section: str,
    *,
    recipes: Sequence[str] = (),
    file: Path | None = None,
    flags: Mapping[str, tuple[Any, str]] | None = None,
    sets: Sequence[str] = (),
) -> tuple[C, dict[str, str]]:
    """The config of a stage and the origin of every value that is not its default.

    flags: dotted key -> (value, the flag's name), None where the flag was not given. sets: "a.b=YAML". Of equal
    standing, --set wins. Raises ConfigError, in one line that begins with the dotted key.
    """
    layers = Layers(cls)
    trees = [(f"recipe {name}", read_recipe(name)) for name in recipes]
    if file is not None:
        tree = yamlio.read_yaml(file)
        trees.append((str(file), {} if tree is None else tree))
    for origin, tree in trees:
        if cls.BORROWS is not None and isinstance(tree, Mapping) and cls.BORROWS in tree:
            lent = _section(tree, cls.BORROWS, origin)
            layers.add({key: value for key, value in lent.items() if key in cls.__struct_fields__}, origin)
        layers.add(_section(tree, section, origin), origin)
    for dotted, (value, flag) in (flags or {}).items():
        if value is not None:
            layers.add(_nest(dotted, value), flag)
    for assignment in sets:
        layers.add(parse_set(assignment), "--set")
    layers.drop_foreign_options()
    try:
        config = cls.of(layers.tree)
    except Invalid as error:
        raise _with_origin(error, layers.origins) from None
    return config, {key: layers.origins[key] for key in sorted(layers.origins)}


def recipe_names() -> list[str]:
    """All recipes, sorted."""
    return sorted(path.stem for path in _RECIPES.glob("*.yaml"))


@cache
def read_recipe(name: str) -> Any:
    """A recipe by its name, to look at only: it is read once. Raises ConfigError with the nearest one."""
    known = recipe_names()
    if name not in known:
        raise ConfigError(f"no recipe named {name!r}", nearest(name, known) + " (your own file goes to --config)")
    text = (_RECIPES / f"{name}.yaml").read_text()
    return yamlio.parse_yaml(text, f"recipe {name}")


def parse_set(assignment: str) -> dict[str, Any]:
    """The tree of one `a.b=VALUE`, the value read as YAML."""
    key, equals, text = assignment.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", key):
        raise ConfigError(f"--set {assignment}: not of the form a.b=value", "write for example --set loop.steps=100")
    return _nest(key, yamlio.parse_yaml(text, f"--set {key}"))


def rows(config: Config, origins: Mapping[str, str]) -> Iterator[tuple[int, str, Any, str]]:
    """Every line of --print-config: depth, key, value (None for a section), origin (empty for a section)."""
    yield from _rows(config.tree(), origins, 0, "")


def _rows(
    tree: Mapping[str, Any], origins: Mapping[str, str], depth: int, prefix: str
) -> Iterator[tuple[int, str, Any, str]]:
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield depth, key, None, ""
            yield from _rows(value, origins, depth + 1, f"{dotted}.")
        else:
            above = [dotted[:i] for i in range(len(dotted), 0, -1) if i == len(dotted) or dotted[i] == "."]
            yield depth, key, value, next((origins[k] for k in above if k in origins), DEFAULT)


def _section(tree: Any, section: str, origin: str) -> Mapping[str, Any]:
    """The part of a file for one stage. A file without sections is all for the stage that reads it."""
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{origin}: not a mapping of keys to values", "see --print-config for the form")
    known = sections()
    if not any(key in known or key == section for key in tree) and not origin.startswith("recipe "):
        return tree
    for key in tree:
        if key not in known and key != section:
            raise ConfigError(f"{key}: unknown section in {origin}", nearest(str(key), known))
    part = tree.get(section)
    if part is not None and not isinstance(part, Mapping):
        raise ConfigError(f"{section}: not a mapping in {origin}", "write one key a line below it")
    return part or {}


def _nest(dotted: str, value: Any) -> dict[str, Any]:
    for key in reversed(dotted.split(".")):
        value = {key: value}
    return dict(value)


def _with_origin(error: Invalid, origins: Mapping[str, str]) -> ConfigError:
    """The same, and from where the value was."""
    dotted = error.key
    related = (o for k, o in origins.items() if f"{k}.".startswith(f"{dotted}.") or f"{dotted}.".startswith(f"{k}."))
    origin = next(related, "")
    said = f" (from {origin})" if origin and dotted else ""
    remedy = f"name it (see --help), or use --set {dotted}=..." if error.fault == MISSING else error.remedy
    return ConfigError(f"{error.message}{said}", remedy)
