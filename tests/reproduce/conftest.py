"""`ifrkit reproduce` in this process, in one workspace a module."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from tiny_tables import FLAGS, Answer

from ifrkit.cli.main import load


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command takes the signals over: pytest wants its own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def reproduce(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def call(table: str, *words: str) -> Answer:
        command: click.Command = load("reproduce")
        argv = [table, *FLAGS, "--json", "--workspace", str(workspace), *words]
        capsys.readouterr()
        with command.make_context("ifrkit reproduce", argv) as context:
            code = command.invoke(context)
        return code, json.loads(capsys.readouterr().out)

    return call
