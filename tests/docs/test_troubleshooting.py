"""docs/troubleshooting.md has every exit code, and quotes messages that the sources really have."""

from __future__ import annotations

import re

from pages import ROOT

from ifrkit.cli.guard import PIPE_CLOSED
from ifrkit.core import errors

TEXT = (ROOT / "docs/troubleshooting.md").read_text()
SOURCES = "\n".join(p.read_text() for top in ("ifrkit", "data_prep") for p in (ROOT / top).rglob("*.py"))


def _codes() -> set[int]:
    classes = [error for error in vars(errors).values() if isinstance(error, type)]
    codes = {error.exit_code for error in classes if issubclass(error, errors.IfrkitError)}
    signals = {errors.InterruptedRun("", signum=signum).exit_code for signum in (2, 15)}
    return codes | signals | {PIPE_CLOSED}


def test_every_code_has_its_section_and_its_row() -> None:
    sections = {int(code) for line in re.findall(r"^## ([\d, ]+):", TEXT, re.M) for code in line.split(",")}
    assert sections == _codes()
    rows = {int(code) for line in re.findall(r"^\| ([\d, ]+) \|", TEXT, re.M) for code in line.split(",")}
    assert rows == sections | {0}


def test_quoted_messages_exist() -> None:
    quoted = re.findall(r"^(?:- )?`([^`]+)`(?:, or [^:`]+)?:", TEXT, re.M)
    assert len(quoted) > 20
    assert not [message for message in quoted if message not in SOURCES]
