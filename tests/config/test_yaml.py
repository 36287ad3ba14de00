"""YAML 1.2's plain values, and nothing dangerous."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifrkit.config.yamlio import parse_yaml, read_yaml
from ifrkit.core.errors import ConfigError
from ifrkit.core.text import safe


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        (".inf", math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    parsed = parse_yaml(text, "t")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "on",
        "yes",
        "off",
        "y",
        "1:30",
        "2024-01-01",
        "1_000",
        "1/30",
        "resnet18",
        "e5",
        "1e",
        ".e5",
        "+",
        "0b1",
        "08x",
    ],
)
def test_everything_else_is_text(text: str) -> None:
    assert parse_yaml(text, "t") == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: 1\nb: 2\na: 3", r"^t:3: the key 'a' is given twice \(first in line 1\)"),
        ("x:\n  a: 1\n  'a': 3", "t:3: the key 'a' is given twice"),
        ("[1, 2", r"^t:1: "),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("a: &x [*x]", "an alias contains itself"),
        ("a: *nothing", "undefined alias"),
        ("? [1]\n: 2", "plain value"),
        ("a: 1\n---\nb: 2", "another document"),
        ("\x01", "t: "),
        ("[" * 3000 + "]" * 3000, "too deeply"),
    ],
)
def test_refused(text: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted) as caught:
        parse_yaml(text, "t")
    assert "\n" not in str(caught.value)


def test_alias_bombs_are_refused_and_honest_aliases_are_not() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]" for i in range(12)]
    with pytest.raises(ConfigError, match="unfold to too much"):
        parse_yaml("\n".join(lines), "bomb")
    assert parse_yaml("a: &a {x: 1}\nb: *a", "t") == {"a": {"x": 1}, "b": {"x": 1}}


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with pytest.raises(ConfigError, match=r"no config file .*c\.yaml"):
        read_yaml(path)
    path.write_text("a: 1\n")
    assert read_yaml(path) == {"a": 1}
    path.write_bytes(b"a: \xff\n")
    assert read_yaml(path) == {"a": "\u00ff"}  # a letter of Latin-1
    path.write_bytes(b"a: \xff\xfe\xfd\n")  # no western word
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        read_yaml(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="1 MiB"):
        read_yaml(path)
    with pytest.raises(ConfigError):
        read_yaml(tmp_path)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cn"]), max_size=8)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXT, SCALAR | st.lists(SCALAR, max_size=3), max_size=4))
def test_what_a_yaml_writer_writes_is_read_back(tree: dict[str, Any]) -> None:
    assert parse_yaml(safe(json.dumps(tree, ensure_ascii=False)), "t") == tree  # as --print-config writes
    assert parse_yaml(json.dumps(tree), "t") == tree


def test_half_a_character_is_refused() -> None:
    """No file could hold it: the work would end in an error at its last step."""
    with pytest.raises(ConfigError, match="t:1: half a character"):
        parse_yaml('{"\\udce9": 1}', "t")


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_parses_or_is_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_yaml(text, "t")
