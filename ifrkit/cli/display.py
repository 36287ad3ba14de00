"""What a stage tells, on standard error: bars with an ETA on a terminal, sparse plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ifrkit.core.text import safe
from ifrkit.report.terminal import drawn, plain

T = TypeVar("T")

_PLAIN_SECONDS = 15.0
"""Without a terminal, a line of progress at most this often."""


def pace(a_second: float | None) -> str:
    """Throughput as a person reads it: "3.2/s", or below one "4.1 s each"; empty while unknown."""
    if not a_second:
        return ""
    return f"{a_second:.1f}/s" if a_second >= 1 else f"{1 / a_second:.1f} s each"


class _Pace(ProgressColumn):
    """Items a second, of late."""

    def render(self, task: Task) -> Text:
        return Text(pace(task.finished_speed or task.speed), "cyan")


class TerminalDisplay:
    """The Display of the command line. name: the stage, in front of plain lines. quiet: warnings only."""

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self.name, self.quiet = name, quiet
        # A log file has no width: never cut a number off.
        self.console = Console(stderr=True, highlight=False, width=None if sys.stderr and sys.stderr.isatty() else 200)
        self._bars: Progress | None = None
        self._running = 0
        self._status = ""

    def info(self, message: str) -> None:
        """A fact worth a line."""
        if not self.quiet:
            self.console.print(plain(f"{self.name}: {message}"), soft_wrap=True)

    def warn(self, message: str) -> None:
        """Something the user should look at."""
        self.console.print(plain(f"{self.name}: warning: {message}", "yellow"), soft_wrap=True)

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
        self.console.print(drawn(title, columns, rows))

    def _draw(self, items: Iterable[T], title: str, total: int | None, start: int) -> Iterator[T]:
        bars = self._start_bars()
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

    def _start_bars(self) -> Progress:
        if self._bars is None:
            columns: list[Any] = [
                TextColumn("{task.description}", markup=False),
                BarColumn(20),
                MofNCompleteColumn(),
                _Pace(),
            ]
            columns += [TimeRemainingColumn(elapsed_when_finished=True)]
            columns += [TextColumn("{task.fields[status]}", markup=False)]
            self._bars = Progress(*columns, console=self.console)
            self._bars.start()
        return self._bars

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
