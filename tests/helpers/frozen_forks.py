"""`python -m ifrkit` in forks of a process that has imported torch, but nothing of ifrkit."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Refused(Exception):
    """A command ended with an error."""


def forked(function: Callable[[], Any], cwd: Path) -> Any:
    """The JSON-able result of a function, called in a fork. Raises RuntimeError with the end of its output."""
    with tempfile.TemporaryDirectory() as directory:
        out, result = Path(directory) / "out", Path(directory) / "result"
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            code = 1
            try:
                os.chdir(cwd)
                for number, target in ((0, Path(os.devnull)), (1, out), (2, out)):
                    os.dup2(os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
                result.write_text(json.dumps(function()))
                code = 0
            except Refused:
                pass  # the command has said why
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
            raise RuntimeError(" | ".join(out.read_text().strip().splitlines()[-4:]))
        return json.loads(result.read_text())


def _main(arguments: list[str]) -> str:
    """`python -m ifrkit` in this process. Returns what it printed."""
    printed = io.StringIO()
    sys.argv = ["ifrkit", *arguments]
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_module("ifrkit", run_name="__main__", alter_sys=True)
    except SystemExit as done:
        if done.code:
            raise Refused from None
    where = Path(sys.modules["ifrkit"].__file__ or "")
    if not where.is_relative_to(ROOT):
        raise RuntimeError(f"the code that ran is not the one beside this script: {where}")
    return printed.getvalue()


def cli(line: str, cwd: Path) -> str:
    """What a line of `ifrkit` prints on standard output."""
    return str(forked(partial(_main, shlex.split(line)), cwd))


def root_command() -> Any:
    """The click group after `python -m ifrkit`, wherever it is defined."""
    import click

    found: list[Any] = []

    def caught(self: Any, *rest: Any, **more: Any) -> Any:
        found.append(self)
        raise SystemExit(0)

    click.Command.make_context = caught  # type: ignore[method-assign]
    _main(["--help"])
    return found[0]
