"""Training curves from the event logs of an artifact, finished or still being made."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError
from ifrkit.core.lazy import lazy
from ifrkit.report import html

if TYPE_CHECKING:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ifrkit.media import figures
else:
    figures, mpl = lazy("ifrkit.media.figures"), lazy("matplotlib")

SUFFIX = ".events.jsonl"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7f7f7f", "#a6761d")
"""Told apart by the colour-blind; at least 3:1 against white and against the dark page."""
DASHES = ("solid", "dashed", "dotted", "dashdot")
INK = "#123456"
"""Stands for the colour of the text; the page puts its own in."""

Points = list[tuple[int, float]]
"""(finished steps, value)."""


@dataclass
class Run:
    """Curves of one network: total loss, learning rate of the head (the last group), and its validation metric."""

    name: str
    loss: Points = field(default_factory=list)
    lr: Points = field(default_factory=list)
    metric: Points = field(default_factory=list)
    metric_name: str = ""
    """mIoU of branches and video models; a flow network has others, the first counts."""
    best_step: int | None = None


def read_run(path: Path) -> Run:
    """The curves of one event log. A last line that is still being written is left out. Raises ArtifactError."""
    run = Run(path.name.removesuffix(SUFFIX))
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):  # what stands after the last line break is not finished
        try:
            _add(run, json.loads(line))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, StopIteration, RecursionError):
            fault = f"{path}: line {number} is not an event of a training"
            raise ArtifactError(fault, "run the training again") from None
    return run


def _add(run: Run, event: dict[str, Any]) -> None:
    step = int(event["step"])
    if "loss" in event:
        run.loss.append((step, float(event["loss"])))
        run.lr.append((step, float(event["lr"][-1])))
    if "metrics" in event:
        metrics = event["metrics"]
        run.metric_name = run.metric_name or ("miou" if "miou" in metrics else next(iter(metrics)))
        run.metric.append((step, float(metrics[run.metric_name])))
        if event["best"]:
            run.best_step = step


def read_runs(made: Artifact | Path) -> list[Run]:
    """Every event log of an artifact, or of the directory of a run that is not finished, by name."""
    pattern = f"*{SUFFIX}"
    paths = made.files(pattern) if isinstance(made, Artifact) else sorted(made.glob(pattern))
    return [read_run(path) for path in paths]


def line(number: int) -> dict[str, Any]:
    """Colour and dashes of the n-th line of a picture: the same model looks the same everywhere."""
    return {"color": COLORS[number % len(COLORS)], "linestyle": DASHES[number // len(COLORS) % len(DASHES)]}


def draw(runs: Sequence[Run], ink: str = "black") -> Figure:
    """Loss, validation metric and learning rate over the steps, a line for each run; the best step is marked."""
    metrics = list(dict.fromkeys(run.metric_name for run in runs if run.metric))
    panels = ["loss", *metrics, "learning rate"]
    figure = figures.new_figure(4 * len(panels), 3.2)
    for axes, title in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.set_title("mIoU (%)" if title == "miou" else figures.drawn(title), color=ink)
        axes.set_xlabel("step", color=ink)
        axes.tick_params(colors=ink)
        axes.patch.set_alpha(0)
        axes.grid(alpha=0.25)
        for spine in axes.spines.values():
            spine.set_color(ink)
        for number, run in enumerate(runs):
            points = {"loss": run.loss, "learning rate": run.lr}.get(title, run.metric)
            if not points or (title in metrics and title != run.metric_name):
                continue
            factor = 100 if title == "miou" else 1
            style = line(number)
            steps, values = [p[0] for p in points], [factor * p[1] for p in points]
            axes.plot(steps, values, label=figures.drawn(run.name), marker="." if len(points) < 30 else None, **style)
            if title in metrics and run.best_step in steps:
                place = steps.index(run.best_step)
                axes.plot(steps[place], values[place], "o", markersize=8, markerfacecolor="none", color=style["color"])
    handles, names = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower left", ncols=6, frameon=False, labelcolor=ink)
    return figure


def one_plot(figure: Figure, name: str, ink: str) -> Axes:
    """The axes of a figure with one plot. name: of what is on the x axis."""
    axes = figure.subplots(1, 1)
    axes.set_xlabel(name, color=ink)
    axes.tick_params(colors=ink)
    axes.patch.set_alpha(0)
    axes.grid(alpha=0.3)
    for spine in axes.spines.values():
        spine.set_color(ink)
    return axes


def svg(figure: Figure, label: str) -> str:
    """An `<svg>` to stand inside a page: its text is text, in the page's colour; no addresses, no ids of its own."""
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": label, "font.family": "sans-serif"}):
        figures.save(figure, file, format="svg", transparent=True)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r' id="(figure|axes|patch|line2d|text|matplotlib|legend|xtick|ytick)[^"]*"', "", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px sans-serif", text)
    return text.replace(INK, "currentColor").replace("<svg", f'<svg role="img" aria-label="{html.text(label)}"', 1)


def draw_distances(systems: Mapping[str, Any], ink: str = "black") -> Figure:
    """Curves of `Distances.results`: mIoU over the distance to the key frame, and over the key interval."""
    figure = figures.new_figure(10, 4.2)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, first, name in ((left, "at", 0, "distance to the key frame"), (right, "mean", 1, "key interval")):
        for number, (system, curves) in enumerate(systems.items()):
            values = [float("nan") if value is None else 100 * value for value in curves[key]]
            axes.plot(
                range(first, first + len(values)), values, marker=".", label=figures.drawn(system), **line(number)
            )
        axes.set_xlabel(name, color=ink)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.tick_params(colors=ink)
        axes.patch.set_alpha(0)
        axes.grid(alpha=0.3)
        for spine in axes.spines.values():
            spine.set_color(ink)
    left.set_ylabel("mIoU (%)", color=ink)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False, labelcolor=ink)
    return figure
