"""Every command in a help text or on a page exists, with its options, and its settings fit the configuration."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from pages import PAGES, Place, blocks, check, commands, examples, filled, invocations, spans

from ifrkit.cli import signals
from ifrkit.cli.main import COMMANDS
from ifrkit.core.errors import ConfigError
from ifrkit.reproduce import estimate


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("place"))
    place.lay_out()
    (place.cwd / "camvid-loop").mkdir()
    (place.cwd / "camvid-loop/to_label.txt").touch()  # `init` writes it before the commands that read it
    return place


@pytest.fixture(autouse=True)
def _there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the directory that the pages suppose; signals stay as they are, and no plan is probed for its cost."""
    monkeypatch.setattr(signals.Stop, "install", lambda stop: None)
    monkeypatch.setattr(estimate, "costs", lambda *args: [])
    monkeypatch.chdir(place.cwd)


@pytest.mark.parametrize("name", commands())
def test_help_has_two_examples_of_its_own_command(name: str) -> None:
    found = examples(name)
    assert len(found) >= 2
    words = name.split()
    assert all(any(line[: len(words)] == words for line in invocations(example)) for example in found)


@pytest.mark.parametrize("name", commands())
def test_examples_parse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for example in examples(name):
        for words in invocations(example):
            check(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_pages_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page):
        for words in invocations(block.text):
            try:
                check(words)
            except Exception as error:
                raise AssertionError(f"{block.where}: ifrkit {' '.join(words)}") from error
    for span in spans(page):
        for words in invocations(span):
            if re.sub(r"( [A-Z_]+)+$", "", span).removeprefix("ifrkit ") in commands():  # named, not typed
                assert words[0] in COMMANDS, f"{page.name}: `{span}`"
                continue
            try:
                check(words)
            except Exception as error:
                raise AssertionError(f"{page.name}: `{span}`") from error


def test_what_is_read_from_a_page(tmp_path: Path) -> None:
    """The reader itself: fenced and indented, pipes, loops, substitutions, comments, place holders."""
    page = tmp_path / "page.md"
    page.write_text(
        "Text `ifrkit doctor` and `ifrkit eval ...`.\n\n    ROOT/frames/a.png\n\nMore.\n\n"
        "    ifrkit prepare synthetic --recipe tiny \\\n      | ifrkit-train-flow   # flow\n\n"
        '```yaml\nifrkit: 1\n```\n\n```sh\nMODEL=$(ifrkit train-fusion --from "$BRANCHES" 2> log)\n'
        "for ssl in none ifr; do\n  ifrkit train-branches --ssl $ssl --seed SEED\ndone\n```\n"
    )
    first, second = blocks(page)
    assert (first.line, second.line) == (7, 14)
    assert invocations(first.text) == [["prepare", "synthetic", "--recipe", "tiny"], ["train-flow"]]
    trainings = [["train-branches", "--ssl", "none", "--seed", "0"], ["train-fusion", "--from", "branches"]]
    assert invocations(second.text) == trainings
    assert list(spans(page)) == ["ifrkit doctor"]
    with pytest.raises(AssertionError, match="UNKNOWN stands for what"):
        filled("ifrkit predict UNKNOWN")


def test_wrong_commands_are_found(place: Place) -> None:
    for line in (
        "prepare synthetic --sed 1",
        "prepare synthetic --set options.nosuch=1",
        "nosuch",
        "eval --set flow2=1",
    ):
        with pytest.raises((AssertionError, click.UsageError, ConfigError)):
            check(line.split())
