"""YAML as people mean it: the core schema of YAML 1.2, plain values only, no surprises.

`no` and `on` are text, `1e-4` is a float, `010` is ten, a date is text; a key given twice is an error, and so is a file
whose aliases would unfold to something huge.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from ifrkit.core.encoding import decode
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.plain import read_plain

_MAX_BYTES = 1 << 20
_MAX_NODES = 100_000
"""Nodes after unfolding every alias: far above any config, far below what hurts."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with the resolvers of YAML 1.2 in place of those of 1.1."""

    yaml_implicit_resolvers = {}
    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"more than {_MAX_NODES} values", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Any, yaml.Node] = {}
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, "a key has to be a plain value", key.start_mark)
            if name in first:
                line = first[name].start_mark.line + 1
                message = f"the key {name!r} is given twice (first in line {line})"
                raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
            first[name] = key
        return super().construct_mapping(node, deep)


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(node.value, 0) if node.value[:2] in ("0x", "0o") else int(node.value)


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _str(loader: _Loader, node: yaml.ScalarNode) -> str:
    """What JSON writes as two halves becomes one character; a half alone is not text, and no file could hold it."""
    try:
        return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise yaml.constructor.ConstructorError(None, None, "half a character (\\ud...)", node.start_mark) from None


_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:str", _str)


def parse_yaml(text: str, name: str) -> Any:
    """The value of a YAML text. name: where it came from, for messages. Raises ConfigError."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _unfolded_size(node, {}, ())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: {error.problem or error.context}", "correct the YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {str(error).splitlines()[0]}", "correct the YAML") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply", "correct the YAML") from None


def read_yaml(path: Path) -> Any:
    """The value of a YAML file. Raises ConfigError naming file and line."""
    try:
        return parse_yaml(decode(read_plain(path, _MAX_BYTES)), str(path))
    except FileNotFoundError:
        raise ConfigError(f"no config file {path}", "check the path") from None
    except ArtifactError as error:  # a pipe, or too long
        raise ConfigError(error.message, "give a config file") from None
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error})", "save it as UTF-8") from None


def _unfolded_size(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Count nodes as if every alias were written out, each distinct node visited once."""
    if id(node) in above:
        raise yaml.composer.ComposerError(None, None, "an alias contains itself", node.start_mark)
    if id(node) not in known:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[id(node)] = 1 + sum(_unfolded_size(child, known, (*above, id(node))) for child in children)
        if known[id(node)] > _MAX_NODES:
            raise yaml.composer.ComposerError(None, None, "the aliases unfold to too much", node.start_mark)
    return known[id(node)]
