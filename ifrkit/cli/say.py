"""The only ways to standard output and standard error, but for what rich draws: safe lines, whatever they are made of.

Lines for people go out in the encoding of the stream, what it lacks as "\\xe9". The line of a result goes out in the
bytes that the file system has, so that a shell finds the path.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ifrkit.core.text import is_safe, safe


def prepare_streams() -> None:
    """No stream fails on a character: a log file in ASCII gets "\\xe9", a line that is read keeps its bytes."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def line(text: object) -> None:
    """A line on standard output."""
    print(safe(text))


def error(text: object) -> None:
    """A line on standard error, which may be gone."""
    if sys.stderr is not None:  # else it would go to standard output
        with contextlib.suppress(OSError):
            print(safe(text), file=sys.stderr, flush=True)


def errors(text: str) -> None:
    """Lines on standard error: a traceback, a table."""
    for each in text.splitlines():
        error(each)


def result_path(path: Path, as_json: bool, tree: Mapping[str, Any]) -> None:
    """The path of what was made, or with --json all about it; a path that cannot be a line is said as JSON, too."""
    result(json.dumps(tree) if as_json or not is_safe(str(path)) else str(path))


def result(text: str) -> None:
    """The line on standard output that another program reads."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stream of text only
        print(text, flush=True)
        return
    sys.stdout.flush()
    buffer.write(os.fsencode(text) + b"\n")
    buffer.flush()
