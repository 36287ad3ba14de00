"""Plain English in pages, comments, docstrings and messages; nothing cites a text that is not in the repository."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = sorted(
    path
    for top in ("ifrkit", "data_prep", "tests", "benchmarks", "docs")
    for path in (ROOT / top).rglob("*.py")
    if path != Path(__file__)
)
AVOIDED = {
    "anew": (r"\banew\b", "write `again`"),
    "is no X": (r"\b(?<!there )(?:is|are|was|were|be) no (?!longer\b|more\b|other\b)\w+", "write `is not an X`"),
    "behind": (r"\bbehind\b", "write `after`"),
    "a spec": (
        r"\bspec:? ?(?:\d+\.\d+|\d+\)|vss_|ifr_)|\bspec:|\bvss_\w+ \d|\bifr_official\b",
        "cite the paper or public code",
    ),
}
"""Name -> what it looks like, and what to write in its place."""
ALLOWED = {
    "data_prep/synthetic/render.py": ("behind", "where something is in space"),
    "data_prep/synthetic/figures.py": ("behind", "where something is in space"),
}
"""File -> what it may say, and why."""
STRINGS = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.COMMENT)}
"""Kinds of tokens that hold prose."""


def said(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of a page's text, or of the strings and comments of a source, line breaks as spaces."""
    text = path.read_text()
    if path.suffix == ".md":
        for match in re.finditer(r"(?:.+\n?)+", text):  # a paragraph: what is said goes over its line breaks
            yield text[: match.start()].count("\n") + 1, match[0]
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in STRINGS:
            yield token.start[0], token.string


@pytest.mark.parametrize("name", AVOIDED)
def test_plain_english(name: str) -> None:
    pattern, remedy = AVOIDED[name]
    found = []
    for path in [*PAGES, *SOURCES]:
        file = path.relative_to(ROOT).as_posix()
        if ALLOWED.get(file, ("",))[0] != name:
            for line, text in said(path):
                hit = re.search(pattern, " ".join(text.split()), re.I)
                found += [f"{file}:{line}: {hit[0]}"] if hit else []
    assert not found, remedy


def test_what_is_allowed_occurs() -> None:
    for file, (name, _) in ALLOWED.items():
        assert any(re.search(AVOIDED[name][0], text) for _, text in said(ROOT / file)), file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("anew", "makes it anew"),
        ("is no X", "it is no artifact"),
        ("behind", "the frames behind it"),
        ("a spec", "as released (spec 3.4)"),
        ("a spec", "the recipe (spec: vss_layers 1.2)"),
        ("a spec", "the facts (ifr_official 5.4)"),
    ],
)
def test_the_patterns_find_it(name: str, text: str) -> None:
    assert re.search(AVOIDED[name][0], text)


@pytest.mark.parametrize("text", ["there is no classes.yaml", "it is no longer there", "input_specs, spec.name"])
def test_the_patterns_leave_good_sentences(text: str) -> None:
    assert not any(re.search(pattern, text) for pattern, _ in AVOIDED.values())
