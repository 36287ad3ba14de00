"""Streams that hold less than the text: stages end well, their line has the bytes of the path, people read escapes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from toystages import Shell

from ifrkit.artifacts.store import open_artifact


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_path_outside_the_encoding_of_the_streams(tmp_path: Path, encoding: str) -> None:
    shell = Shell(tmp_path)
    shell.env |= {"PYTHONIOENCODING": encoding, "IFRKIT_WORKSPACE": "wörk ✓"}
    made = Path(shell.ok("ifrkit toy-source -q").rstrip("\n"))
    assert open_artifact(made).kind == "clips"
    assert made.parent == tmp_path / "wörk ✓" / "clips"
    line = "ifrkit toy-source -q | ifrkit toy-train -q --steps 1 --device cpu"  # the line goes through the pipe
    trained = Path(shell.ok(line).rstrip("\n"))
    assert open_artifact(trained).inputs()[0].path.name == made.name
    shell.ok("ifrkit artifacts ls clips > listed")
    listed = (tmp_path / "listed").read_bytes().decode(encoding)
    assert "wörk ✓".encode(encoding, "backslashreplace").decode(encoding) in listed


def test_a_path_that_cannot_be_a_line_goes_through_a_pipe(tmp_path: Path) -> None:
    """As JSON, with escapes, line breaks and bytes that are not UTF-8."""
    shell = Shell(tmp_path)
    shell.env["IFRKIT_WORKSPACE"] = os.fsdecode(b"a\n\x1b[31mcaf\xe9")
    line = shell.ok("ifrkit toy-source | tee line | ifrkit toy-train --steps 1 --device cpu")
    assert line.isascii()
    assert line.startswith('{"ifrkit": 1')
    for reference in ('"$(cat line)"', "clips"):
        assert shell.run(f"ifrkit artifacts show {reference}").returncode == 0
