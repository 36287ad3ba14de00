"""What a person sees: standard error and output on a real (pseudo) terminal, as its variables and -q ask for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import on_terminal
from toystages import Shell

TRAIN = "ifrkit toy-train --steps 6 --set runtime.seconds=0.1 --device cpu"
COLOR = re.compile(r"\x1b\[[\d;]*3\dm|\x1b\[38;")
ESCAPE = re.compile(r"\x1b\[")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.source()
    shell.env |= {"TERM": "xterm-256color"}
    shell.env.pop("NO_COLOR", None)
    return shell


def test_bars_with_speed_and_time_left(shell: Shell) -> None:
    seen = on_terminal(TRAIN, shell, error_too=True)
    assert "━" in seen
    assert re.search(r"toy .*[1-5]/6.*\d\.\d/s.*0:00:0\d", seen)
    assert "6/6" in seen
    assert COLOR.search(seen)
    assert "\x1b[?25l" in seen  # the cursor is hidden while bars run ...
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # ... and comes back


def test_no_color_keeps_the_bars(shell: Shell) -> None:
    shell.env["NO_COLOR"] = "1"
    seen = on_terminal(TRAIN, shell, error_too=True)
    assert "━" in seen
    assert not COLOR.search(seen)


def test_a_dumb_terminal_gets_plain_text(shell: Shell) -> None:
    shell.env["TERM"] = "dumb"
    seen = on_terminal(TRAIN, shell, error_too=True)
    assert not ESCAPE.search(seen)
    assert "━" not in seen
    assert "toy-train: from " in seen


def test_quiet_means_quiet(shell: Shell) -> None:
    """Only the line of standard output is left on the terminal."""
    seen = on_terminal(f"{TRAIN} -q", shell, error_too=True)
    assert re.fullmatch(r"\S+/branches/\S+\r\n", seen)


def test_quiet_still_warns(shell: Shell) -> None:
    """--resume without anything to resume is worth a warning."""
    done = shell.run("ifrkit toy-train --steps 3 --device cpu -q")
    assert (done.returncode, done.stderr) == (0, "")
    failed = shell.run("ifrkit toy-train --steps 0 --set nosuch=1 -q")
    assert failed.returncode == 2
    assert len(failed.stderr.splitlines()) == 1


def test_a_log_file_gets_no_escapes(shell: Shell) -> None:
    done = shell.run(TRAIN)
    assert not ESCAPE.search(done.stderr)
    assert "━" not in done.stderr
