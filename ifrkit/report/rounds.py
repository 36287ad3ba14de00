"""The annotator's loop on a page: the rounds so far, the frames that come next, and what the model is unsure about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.store import Artifact, artifacts
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.evaluation.tables import percent
from ifrkit.media.lists import read_list
from ifrkit.media.litter import shown
from ifrkit.report import html
from ifrkit.report.curves import INK, line, one_plot, svg
from ifrkit.report.html import Cell

if TYPE_CHECKING:
    from ifrkit.media import figures
else:
    figures = lazy("ifrkit.media.figures")

SCORES = "label_next.json"
"""In a project: what `ifrkit label-next` wrote."""


class Round(NamedTuple):
    """A judged training on clips of the project. labels: how many it learned from."""

    created: str
    labels: int
    miou: float | None
    name: str


def section(project: Path, workspace: Path) -> str:
    """Rounds, next frames and pictures. Raises ConfigError where the project has no list of frames to label."""
    listed = project / "to_label.txt"
    if not listed.is_file():
        raise ConfigError(f"{project}: no {listed.name} in it", f"begin with ifrkit init {project} --frames DIR")
    names = [line for line in read_list(listed) if line]
    chosen = _chosen(project / SCORES)
    inner = _rounds(list(rounds(project, workspace))) + _scores(chosen) + _pictures(project, chosen)
    note = f"{len(names)} frames were proposed so far: {shown(names)}."
    return html.section("The loop", inner or html.preformatted(names), note)


def rounds(project: Path, workspace: Path) -> Iterator[Round]:
    """Reports of the workspace whose clips were made from the project, the oldest first."""
    for report in artifacts(workspace, "report"):
        try:
            clips, branches = report.ancestor("clips"), report.ancestor("branches")
            if clips is None or branches is None or not _of(clips, project):
                continue
            labels = len(Branches.read(branches).labeled)
        except ArtifactError:  # its inputs are gone
            continue
        miou = report.manifest.metrics.get("miou")
        yield Round(report.manifest.created, labels, miou, report.path.name)


def _of(clips: Artifact, project: Path) -> bool:
    root = clips.manifest.config.get("root")
    return isinstance(root, str) and Path(root).resolve() == project.resolve()


def _chosen(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_bytes())
        return [
            {
                "name": str(row["name"]),
                "score": float(row["score"]),
                "parts": {part: float(value) for part, value in row["parts"].items()},
            }
            for row in rows
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}: not as label-next writes it ({error})", "run ifrkit label-next again") from None


def _rounds(found: list[Round]) -> str:
    rows: list[list[Cell]] = [
        [f"{number}", f"{r.labels}", (percent(r.miou), r.miou) if r.miou is not None else "-", r.created, r.name]
        for number, r in enumerate(found, 1)
    ]
    caption = "mIoU in percent over the rounds; compare rounds only where the held-out frames stayed the same"
    table = html.table(["round", "labels", "mIoU", "when", "report"], rows, caption) if rows else ""
    return _curve([r for r in found if r.miou is not None]) + table


def _curve(found: list[Round]) -> str:
    """mIoU over the number of labels; nothing of a single round."""
    if len({r.labels for r in found}) < 2:
        return ""
    figure = figures.new_figure(5, 3)
    axes = one_plot(figure, "labels", INK)
    points = sorted((r.labels, 100 * (r.miou or 0)) for r in found)
    axes.plot(*zip(*points, strict=True), marker="o", **line(0))
    axes.locator_params(axis="x", integer=True)
    axes.set_ylabel("mIoU (%)", color=INK)
    drawn = html.scroller(svg(figure, "mIoU over the number of labels"), "mIoU over the number of labels")
    return f'<div class="curves">{drawn}</div>\n'


def _scores(chosen: list[dict[str, Any]]) -> str:
    if not chosen:
        return ""
    parts = list(chosen[0]["parts"])
    rows: list[list[Cell]] = [
        [row["name"], *((f"{v:.2f}", min(1.0, v)) for v in (row["score"], *(row["parts"].get(p, 0.0) for p in parts)))]
        for row in chosen
    ]
    return html.table(["next frame", "score", *parts], rows, "Frames that come next, and why: each part from 0 to 1")


def _pictures(project: Path, chosen: list[dict[str, Any]]) -> str:
    drawn = ""
    wanted = {row["name"].replace("/", "_") for row in chosen}
    for path in sorted((project / "unsure").glob("*.png")):
        if any(name.endswith(path.stem) for name in wanted):  # a video's directory may be left out of the file's name
            alt = f"{path.stem}, redder where the model is less sure"
            drawn += html.figure(html.photo(path), alt, f"{path.stem}: what is unsure, in red")
            if (predicted := project / "predicted" / path.name).is_file():  # older rounds have none
                drawn += html.figure(html.photo(predicted), f"{path.stem}, predicted", f"{path.stem}: what it says")
    return html.details("What the model is unsure about", drawn, shown=True) if drawn else ""
