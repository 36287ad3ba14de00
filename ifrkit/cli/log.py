"""`ifrkit log`: how a training goes or went. Prints to standard output."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ifrkit.cli import completion, say
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit.artifacts import about as made
    from ifrkit.artifacts import locks, store
    from ifrkit.media import figures
    from ifrkit.report import curves, terminal
    from ifrkit.report.curves import Run
else:
    made = lazy("ifrkit.artifacts.about")
    locks, store = lazy("ifrkit.artifacts.locks"), lazy("ifrkit.artifacts.store")
    figures = lazy("ifrkit.media.figures")
    curves, terminal = lazy("ifrkit.report.curves"), lazy("ifrkit.report.terminal")

LINES = 12
"""Rows of the table: spread over the whole run, the last one always there."""
SECONDS = 1.0
"""Between two looks at a running training."""


@click.command("log", context_settings=SETTINGS)
@click.argument("ref", shell_complete=completion.references)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the curves into this PNG.")
@click.option("-f", "--follow", is_flag=True, help="Then a line for each new event, until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
def command(ref: str, plot: Path | None, follow: bool, workspace: Path, as_json: bool) -> None:
    """Follow a training: loss, validation metric and learning rate over the steps.

    Reads the event logs of REF: a path, the beginning of an id, or a kind; for a kind, a training that is still running
    or was interrupted comes before the newest finished one. Makes a PNG with --plot, else nothing. With --follow it
    goes on until the run ends or Ctrl-C, and draws the PNG again with every event.

    \b
    Examples:
      ifrkit log branches
      ifrkit log video-model --plot curves.png
    """
    if plot is not None and (plot.suffix.lower() != ".png" or not plot.parent.is_dir()):
        raise ConfigError(f"--plot {plot}: not a PNG in a directory that exists", "name it like curves.png")
    if follow and as_json:
        raise ConfigError("--follow prints lines, --json one object", "leave one out")
    directory, found = _made(workspace, ref)
    runs = [run for run in curves.read_runs(found or directory) if run.loss or run.metric]
    if not runs:
        raise ArtifactError(f"{directory} has no events of a training", "name branches, a flow or a video-model")
    if plot is not None:
        figures.save(curves.draw(runs), plot, dpi=110)
    if as_json:
        say.line(json.dumps({"path": str(directory.resolve()), "runs": [vars(run) for run in runs]}))
        return
    _print(made.named(found) if found else str(directory), runs)
    if follow:
        _follow(directory, runs, plot)


def _made(workspace: Path, ref: str) -> tuple[Path, store.Artifact | None]:
    """The artifact, or the partial directory of a run that is not finished (and no artifact)."""
    if Path(ref).name.startswith(store.PARTIAL) and os.path.isdir(ref):
        return Path(ref), None
    running = [path for path in workspace.glob(f"*/{store.PARTIAL}*") if _changed(path)]
    named = [p for p in running if p.parent.name == ref or (len(ref) >= 4 and _id(p).startswith(ref))]
    if named:
        return max(named, key=_changed), None
    found = store.resolve(workspace, ref)
    return found.path, found


def _id(partial: Path) -> str:
    return partial.name.rpartition("-")[2]


def _changed(directory: Path) -> float:
    """When an event was last written there; 0: never."""
    return max((path.stat().st_mtime for path in directory.glob("*.events.jsonl")), default=0.0)


def _print(where: str, runs: list[Run]) -> None:
    say.line(where)
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
        terminal.show(run.name, ["step", "loss", name, "lr"], rows)


def _follow(directory: Path, runs: Sequence[Run], plot: Path | None) -> None:
    """A line for each event after those of `runs`, while a process holds the lock of this output."""
    target = directory.with_name(directory.name.removeprefix(store.PARTIAL))
    known = {run.name: run for run in runs}
    running = True
    while running:
        running = locks.is_locked(target)  # before it is read: what a run wrote at its end must not be missed
        try:
            fresh = curves.read_runs(directory if directory.is_dir() else target)
        except FileNotFoundError:  # renamed this very moment: the run is done
            continue
        lines = [line for run in fresh for line in _news(run, known.get(run.name, curves.Run(run.name)))]
        known = {run.name: run for run in fresh}
        for line in lines:
            say.line(line)
        if lines and plot is not None:
            figures.save(curves.draw(fresh), plot, dpi=110)
        if running:
            time.sleep(SECONDS)


def _news(run: Run, before: Run) -> Iterator[str]:
    """Lines for the events of a run that were not known before, in order."""
    loss, metric = (points[-1][0] if points else 0 for points in (before.loss, before.metric))
    rates = dict(run.lr)
    found = [(step, 0, f"loss {value:.4g}  lr {rates[step]:.2e}") for step, value in run.loss if step > loss]
    for step, value in run.metric:
        if step > metric:
            shown = f"mIoU {100 * value:.2f} %" if run.metric_name == "miou" else f"{run.metric_name} {value:.4g}"
            found.append((step, 1, shown + (" (best)" if step == run.best_step else "")))
    yield from (f"{run.name}: step {step}  {text}" for step, _, text in sorted(found))


def _until(step: int, points: Sequence[tuple[int, float]], form: str) -> str:
    """The last value up to a step."""
    known = [value for when, value in points if when <= step]
    return f"{known[-1]:{form}}" if known else "-"


command.params.append(WORKSPACE)
