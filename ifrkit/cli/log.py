"""`ifrkit log`: how a training goes or went. Prints to standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ifrkit.cli import completion
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from ifrkit.report.curves import Run

LINES = 12
"""Rows of the table: spread over the whole run, the last one always there."""


@click.command("log", context_settings=SETTINGS)
@click.argument("ref", shell_complete=completion.references)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the curves into this PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
def command(ref: str, plot: Path | None, workspace: Path, as_json: bool) -> None:
    """Follow a training: loss, validation metric and learning rate over the steps.

    Reads the event logs of REF: a path, the beginning of an id, or a kind; for a kind, a training that is still running
    or was interrupted comes before the newest finished one. Makes a PNG with --plot, else nothing. Say it again
    (or `watch ifrkit log branches`) to see how it goes on.

    \b
    Examples:
      ifrkit log branches
      ifrkit log video-model --plot curves.png
    """
    from ifrkit.report.curves import draw, read_runs

    if plot is not None and (plot.suffix.lower() != ".png" or not plot.parent.is_dir()):
        raise ConfigError(f"--plot {plot}: not a PNG in a directory that exists", "name it like curves.png")
    directory = _directory(workspace, ref)
    runs = [run for run in read_runs(directory) if run.loss or run.metric]
    if not runs:
        raise ArtifactError(f"{directory} has no events of a training", "name branches, a flow or a video-model")
    if plot is not None:
        draw(runs).savefig(plot, dpi=110)
    if as_json:
        click.echo(json.dumps({"path": str(directory.resolve()), "runs": [vars(run) for run in runs]}))
        return
    _print(directory, runs)


def _directory(workspace: Path, ref: str) -> Path:
    """The artifact, or the partial directory of a run that is not finished."""
    from ifrkit.artifacts.store import PARTIAL, resolve

    if Path(ref).name.startswith(PARTIAL) and Path(ref).is_dir():
        return Path(ref)
    running = [path for path in workspace.glob(f"*/{PARTIAL}*") if _changed(path)]
    named = [p for p in running if p.parent.name == ref or (len(ref) >= 4 and _id(p).startswith(ref))]
    return max(named, key=_changed) if named else resolve(workspace, ref).path


def _id(partial: Path) -> str:
    return partial.name.rpartition("-")[2]


def _changed(directory: Path) -> float:
    """When an event was last written there; 0: never."""
    return max((path.stat().st_mtime for path in directory.glob("*.events.jsonl")), default=0.0)


def _print(directory: Path, runs: list[Run]) -> None:
    from rich.console import Console

    from ifrkit.cli.reporter import drawn

    console = Console(highlight=False, width=None if sys.stdout and sys.stdout.isatty() else 200)
    click.echo(str(directory))
    for run in runs:
        metric, percent = dict(run.metric), run.metric_name == "miou"
        steps = sorted(metric) or [step for step, _ in run.loss]
        steps = sorted({*steps, *(step for step, _ in run.loss[-1:])})
        shown = steps if len(steps) <= LINES else [steps[(len(steps) - 1) * i // (LINES - 1)] for i in range(LINES)]
        rows = []
        for step in shown:
            value = metric.get(step)
            cell = "-" if value is None else f"{100 * value:.2f}" if percent else f"{value:.4g}"
            mark = " (best)" if step == run.best_step else ""
            texts = [_until(step, points, form) for points, form in ((run.loss, ".4g"), (run.lr, ".2e"))]
            rows.append([str(step), texts[0], cell + mark, texts[1]])
        name = "mIoU (%)" if percent else run.metric_name or "metric"
        console.print(drawn(run.name, ["step", "loss", name, "lr"], rows))


def _until(step: int, points: Sequence[tuple[int, float]], form: str) -> str:
    """The last value up to a step."""
    known = [value for when, value in points if when <= step]
    return f"{known[-1]:{form}}" if known else "-"


command.params.append(WORKSPACE)
