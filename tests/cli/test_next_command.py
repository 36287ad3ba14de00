"""On a terminal a stage names the command that comes next; in a pipe it keeps quiet about it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from toystages import Shell

from ifrkit.cli.common import NEXT
from ifrkit.cli.main import COMMANDS, load


def on_terminal(shell: Shell, line: str) -> str:
    """Standard error of a command whose standard output is a terminal."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            line, shell=True, cwd=shell.cwd, env=shell.env, stdin=subprocess.DEVNULL, stdout=theirs,
            stderr=subprocess.PIPE, text=True, timeout=60, check=True,
        )  # fmt: skip
    finally:
        os.close(theirs)
        os.close(ours)
    return done.stderr


def test_the_hint_is_for_terminals_that_want_to_hear_it(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert f"next: {NEXT['clips']}" in on_terminal(shell, "ifrkit toy-source")
    assert "next:" not in on_terminal(shell, "ifrkit toy-source --size 5 -q")
    assert "next:" not in shell.run("ifrkit toy-source --size 6").stderr


@pytest.mark.parametrize("kind", NEXT)
def test_every_hint_is_a_command_with_options_that_exist(kind: str) -> None:
    for words in re.findall(r"ifrkit ([a-z][^,(]*)", NEXT[kind]):
        name, *rest = words.split()
        assert name in COMMANDS
        options = {option for param in load(name).params for option in param.opts}
        assert {word for word in rest if word.startswith("--")} <= options
