"""Progress bars on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ifrkit.cli.display import pace


class _Pace(ProgressColumn):
    """Items a second, of late."""

    def render(self, task: Task) -> Text:
        return Text(pace(task.finished_speed or task.speed), "cyan")


def started(console: Console) -> Progress:
    """Bars without a task yet, drawn from now on."""
    columns: list[Any] = [TextColumn("{task.description}", markup=False), BarColumn(20), MofNCompleteColumn(), _Pace()]
    columns += [TimeRemainingColumn(elapsed_when_finished=True), TextColumn("{task.fields[status]}", markup=False)]
    bars = Progress(*columns, console=console)
    bars.start()
    return bars
