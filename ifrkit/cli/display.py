"""What a stage tells, on standard error: bars with an ETA on a terminal, sparse plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from ifrkit.cli import say
from ifrkit.core.lazy import lazy
from ifrkit.core.text import safe

if TYPE_CHECKING:
    from rich import console
    from rich.progress import Progress

    from ifrkit.cli import _bars
    from ifrkit.report import terminal
else:  # a log file needs lines alone: rich is for terminals and tables
    console, _bars, terminal = lazy("rich.console"), lazy("ifrkit.cli._bars"), lazy("ifrkit.report.terminal")

T = TypeVar("T")

_PLAIN_SECONDS = 15.0
"""Without a terminal, a line of progress at most this often."""


def pace(a_second: float | None) -> str:
    """Throughput as a person reads it: "3.2/s", or below one "4.1 s each"; empty while unknown."""
    if not a_second:
        return ""
    return f"{a_second:.1f}/s" if a_second >= 1 else f"{1 / a_second:.1f} s each"


class TerminalDisplay:
    """The Display of the command line. name: the stage, in front of plain lines. quiet: warnings only."""

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self.name, self.quiet = name, quiet
        self._bars: Progress | None = None
        self._running = 0
        self._status = ""

    @cached_property
    def console(self) -> console.Console:
        """What rich draws on. A log file has no width: never cut a number off."""
        return console.Console(stderr=True, highlight=False, width=None if _on_terminal() else 200)

    def info(self, message: str) -> None:
        """A fact worth a line."""
        if not self.quiet:
            self._say(f"{self.name}: {message}")

    def warn(self, message: str) -> None:
        """Something the user should look at."""
        self._say(f"{self.name}: warning: {message}", "yellow")

    def status(self, text: str) -> None:
        """A short text beside the progress."""
        self._status = text
        if self._bars is not None and self._bars.task_ids:
            self._bars.update(self._bars.task_ids[-1], status=safe(text))

    def track(self, items: Iterable[T], title: str, total: int | None = None, start: int = 0) -> Iterable[T]:
        """Iterate, showing how far it is and when it will be done."""
        if self.quiet:
            return items
        if total is None and isinstance(items, Sized):
            total = len(items) + start
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            return self._draw(items, title, total, start)
        return self._lines(items, title, total, start)

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table; the first column is text, the others are numbers."""
        if self.quiet:
            return
        self.console.print(terminal.drawn(title, columns, rows))

    def _say(self, text: str, style: str = "") -> None:
        if _on_terminal() or "console" in vars(self):  # lines go the way of bars that are there
            self.console.print(terminal.plain(text, style), soft_wrap=True)
        else:
            say.error(text)

    def _draw(self, items: Iterable[T], title: str, total: int | None, start: int) -> Iterator[T]:
        if self._bars is None:
            self._bars = _bars.started(self.console)
        bars = self._bars
        task = bars.add_task(safe(title), total=total, completed=start, status="")
        self._running += 1
        try:
            for item in items:
                yield item
                bars.advance(task)
        finally:
            self._running -= 1
            if self._running == 0:
                bars.stop()
                self._bars = None
            else:
                bars.remove_task(task)

    def _lines(self, items: Iterable[T], title: str, total: int | None, start: int) -> Iterator[T]:
        self._status = ""
        begun = said = time.monotonic()
        done = start
        for item in items:
            yield item
            done += 1
            now = time.monotonic()
            if now - said >= _PLAIN_SECONDS or (done == total and now - begun >= _PLAIN_SECONDS):
                said = now
                self.info(self._line(title, done, total, (now - begun) / (done - start)))

    def _line(self, title: str, done: int, total: int | None, seconds_each: float) -> str:
        speed = pace(1 / max(seconds_each, 1e-9))
        if total is None:
            return f"{title} {done}  {speed}  {self._status}".rstrip()
        left = timedelta(seconds=round(max(0, total - done) * seconds_each))
        return f"{title} {done}/{total}  {speed}  {left} left  {self._status}".rstrip()


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
