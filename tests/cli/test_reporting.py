"""Standard error: sparse plain lines in a log, bars on a terminal, nothing cut off, little with --quiet."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from ifrkit.cli import display as terminal
from ifrkit.cli.display import TerminalDisplay, pace


def test_plain_lines_are_sparse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    report = TerminalDisplay("toy")
    assert list(report.track(range(1000), "steps")) == list(range(1000))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(terminal, "_PLAIN_SECONDS", 0.0)
    for _ in report.track(iter("ab"), "steps", total=4, start=2):
        report.status("loss 0.5")
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r"[\d.]+/s", "N/s", line.rstrip()) for line in lines] == [
        "toy: steps 3/4  N/s  0:00:00 left  loss 0.5",
        "toy: steps 4/4  N/s  0:00:00 left  loss 0.5",
    ]
    list(report.track(iter("a"), "unknown length"))
    assert "unknown length 1" in capsys.readouterr().err


def test_pace_is_as_people_say_it() -> None:
    assert [pace(speed) for speed in (None, 0.0, 31.44, 1.0, 0.25)] == ["", "", "31.4/s", "1.0/s", "4.0 s each"]


def test_text_is_never_markup_and_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    report = TerminalDisplay("toy")
    report.info("[bold]/a/path/" + "x" * 300)
    report.warn("careful [1/2]")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "toy: [bold]/a/path/" + "x" * 300 + "\ntoy: warning: careful [1/2]\n"


def test_tables_keep_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [f"a rather long column {i}" for i in range(7)]
    TerminalDisplay("toy").table("Title", columns, [[f"{i}.{i}" for i in range(7)]])
    err = capsys.readouterr().err
    assert all(column in err for column in columns)
    assert "6.6" in err


def test_quiet_leaves_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    report = TerminalDisplay("toy", quiet=True)
    report.info("x")
    report.table("t", ["a"], [["b"]])
    assert list(report.track([1, 2], "steps")) == [1, 2]
    report.warn("w")
    assert capsys.readouterr().err == "toy: warning: w\n"


def test_bars_nest_and_end_with_their_loops() -> None:
    report = TerminalDisplay("toy")
    screen = io.StringIO()
    report.console = Console(file=screen, force_terminal=True, width=100)
    for step in report.track(range(2), "outer", total=2):
        report.status(f"loss {step} [a]")
        assert list(report.track("xyz", "inner")) == ["x", "y", "z"]
        report.info("said in between")
    with pytest.raises(ZeroDivisionError):
        list(report.track((1 // i for i in range(3)), "broken"))
    assert report._running == 0
    assert report._bars is None
    text = screen.getvalue()
    assert all(word in text for word in ("outer", "2/2", "said in between", "loss 1 [a]"))
