"""Foreign text reaches people through one function (`ifrkit/core/text.py`): few files write, and each calls it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRITERS = {
    "print": {"ifrkit/cli/say.py"},
    "click.echo": {"ifrkit/cli/main.py"},  # the version
    "click.secho": set(),
    "Console": {"ifrkit/report/terminal.py", "ifrkit/reproduce/results.py"},
    "console.Console": {"ifrkit/cli/display.py"},
    "console.print": {"ifrkit/cli/display.py", "ifrkit/report/terminal.py", "ifrkit/reproduce/results.py"},
    "self.console.print": {"ifrkit/cli/display.py"},
    "Text": {"ifrkit/cli/_bars.py", "ifrkit/report/terminal.py"},
    "html.escape": {"ifrkit/report/html.py"},
    "escape": set(),
    "figure.savefig": {"ifrkit/media/figures.py"},
}
"""What writes text for people -> the files that may call it."""
FILES = sorted(path for top in ("ifrkit", "data_prep") for path in (ROOT / top).rglob("*.py"))


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names of what a file calls, with the lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func), node.lineno


@pytest.mark.parametrize("name", WRITERS)
def test_only_these_files_write(name: str) -> None:
    found = {path.relative_to(ROOT).as_posix() for path in FILES for called, _ in calls(path) if called == name}
    assert found <= WRITERS[name], "say it with `ifrkit/cli/say.py`, a Display or `ifrkit/report/html.py`"
    assert found or not WRITERS[name], f"{name} is called nowhere: take it off this list"


def test_no_stream_is_written_directly() -> None:
    streams = ("sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer.write", "sys.stderr.buffer.write")
    assert not [(path, line) for path in FILES for called, line in calls(path) if called in streams]
