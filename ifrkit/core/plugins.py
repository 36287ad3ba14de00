"""Find a plug-in by its name: the built-in file first, then an entry point of the same group.

    kind            built-in files           class in the file   entry-point group
    datasets        data_prep/NAME/          Dataset             ifrkit.datasets
    labels          ifrkit/labels/           Labels              ifrkit.labels
    backbones       ifrkit/models/backbones/ Backbone            ifrkit.backbones
    heads           ifrkit/models/heads/     Head                ifrkit.heads
    methods         ifrkit/methods/          Method              ifrkit.methods
    architectures   ifrkit/architectures/    Architecture        ifrkit.architectures
    metrics         ifrkit/metrics/          Metric              ifrkit.metrics
    flow_sources    ifrkit/flow_sources/     FlowSource          ifrkit.flow_sources

The file system is the registry: names are listed without importing anything, and only the chosen file is imported.
A file whose name starts with "_" or is "base" is not a plug-in. Names are case-insensitive; "-" equals "_".

NAME:ARGUMENT names a plug-in and fills in one of its options: the one that `ARGUMENT` of its Config says. The argument
(often a path) keeps its case.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    import difflib
    from importlib import metadata
else:
    difflib = lazy("difflib")
    metadata = lazy("importlib.metadata")  # 20 ms, for a name that is not one of ours

_KINDS = {
    "datasets": ("data_prep", "Dataset"),
    "labels": ("ifrkit.labels", "Labels"),
    "backbones": ("ifrkit.models.backbones", "Backbone"),
    "heads": ("ifrkit.models.heads", "Head"),
    "methods": ("ifrkit.methods", "Method"),
    "architectures": ("ifrkit.architectures", "Architecture"),
    "metrics": ("ifrkit.metrics", "Metric"),
    "flow_sources": ("ifrkit.flow_sources", "FlowSource"),
}

KINDS = tuple(_KINDS)
_WITH_OPTIONS = ("datasets", "backbones", "methods")
"""Kinds whose plug-ins have a Config, where an argument may go."""


def split_argument(name: str) -> tuple[str, str | None]:
    """NAME:ARGUMENT in its two parts; None for a name alone."""
    plugin, colon, argument = name.partition(":")
    return plugin, argument if colon else None


def _normalise(name: str) -> str:
    return split_argument(name)[0].lower().replace("-", "_")


def spelled(name: str) -> str:
    """The one way to write a plug-in's name: "TC_ETC" is "tc-etc". Configs hold it, so that equal ones are equal."""
    plugin, colon, argument = name.partition(":")
    return plugin.lower().replace("_", "-") + colon + argument


def _plain(name: str) -> str:
    return spelled(split_argument(name)[0])


def _builtin(kind: str) -> dict[str, str]:
    package = importlib.import_module(_KINDS[kind][0])
    return {name: f"{package.__name__}.{name}" for name in _files(tuple(package.__path__))}


@cache
def _files(path: Iterable[str]) -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(path))
    return [name for name in names if name != "base" and not name.startswith("_")]


def _entry_points(kind: str) -> dict[str, metadata.EntryPoint]:
    return {_normalise(e.name): e for e in metadata.entry_points(group=f"ifrkit.{kind}")}


def names(kind: str) -> list[str]:
    """All plug-ins of a kind, sorted, as a user types them ("-", not "_")."""
    return sorted(map(spelled, {*_builtin(kind), *_entry_points(kind)}))


def nearest(word: str, known: list[str]) -> str:
    """The remedy for a mistyped word: the nearest match, else the whole list."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def is_known(kind: str, name: str) -> bool:
    """Whether a plug-in has this name."""
    return _normalise(name) in _builtin(kind) or _normalise(name) in _entry_points(kind)


def require(kind: str, name: str) -> None:
    """Check a name without importing the plug-in. Raises ConfigError with the nearest match for an unknown one."""
    if not is_known(kind, name):
        plugin = split_argument(name)[0]
        raise ConfigError(f"no {kind.removesuffix('s')} plug-in named {plugin!r}", nearest(plugin, names(kind)))
    if split_argument(name)[1] is not None and kind not in _WITH_OPTIONS:
        raise ConfigError(f"{name}: this {kind.removesuffix('s')} takes no argument", f"write {_plain(name)}")


def load(kind: str, name: str) -> Any:
    """The plug-in class of this kind and name. Raises ConfigError with the nearest match for an unknown name."""
    require(kind, name)
    key, builtin = _normalise(name), _builtin(kind)
    if key in builtin:
        return getattr(importlib.import_module(builtin[key]), _KINDS[kind][1])
    return _entry_points(kind)[key].load()
