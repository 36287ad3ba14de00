"""The numbers of a table: collected from reports, put beside the paper's, and stored as an artifact of kind `table`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from ifrkit.artifacts.indexes import Report
from ifrkit.artifacts.indexes import Table as TableIndex
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact
from ifrkit.core.config import Config
from ifrkit.media import figures
from ifrkit.report.terminal import drawn
from ifrkit.reproduce.tables import Table

Entry = dict[str, Any]
"""One cell: row, column, and in percent values (by seed), mean, spread, gain, paper, paper_gain; null where none."""


class Source(Config):
    """Where the number of a cell comes from. report: the id of the artifact; keys: the place in its report.json."""

    row: str
    column: str
    seed: int
    report: str
    keys: tuple[str, ...]


class TableConfig(Config):
    """What a table artifact is made from."""

    table: str
    title: str
    dataset: str
    scale: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    sources: tuple[Source, ...]
    """Cells that are missing here failed."""
    base: dict[str, tuple[str, str]] = {}
    """"ROW / COLUMN" -> the cell that its gain is the difference to."""
    paper: dict[str, float] = {}
    notes: dict[str, str] = {}
    pictures: bool = False


def place(row: str, column: str) -> str:
    """The key of a cell in JSON."""
    return f"{row} / {column}"


def config_of(
    name: str,
    table: Table,
    dataset: str,
    scale: str,
    rows: Sequence[str],
    columns: Sequence[str],
    sources: list[Source],
) -> TableConfig:
    """The stored form of a table's chosen rows and columns."""
    cells = [(row, column) for row in rows for column in columns]
    bases = {place(*cell): base for cell in cells if (base := table.base(*cell))}
    wanted = {*cells, *bases.values()}
    return TableConfig(
        table=name,
        title=table.title,
        dataset=dataset,
        scale=scale,
        rows=tuple(rows),
        columns=tuple(columns),
        sources=tuple(sources),
        base=bases,
        paper={place(*cell): value for cell, value in table.paper.items() if cell in wanted},
        notes={place(*cell): text for cell, text in table.notes.items() if cell in wanted},
        pictures=table.pictures,
    )


def number(report: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    """The value at a place of a report.json; None where there is none."""
    found: Any = report
    for key in keys:
        found = found.get(key) if found is not None else None
    return None if found is None else float(found)


def collect(config: TableConfig, reports: Mapping[str, Mapping[str, Any]]) -> list[Entry]:
    """Every cell, row by row. reports: the content of report.json by artifact id."""
    values: dict[str, dict[int, float]] = {}
    for source in config.sources:
        found = number(reports[source.report], source.keys)
        if found is not None:
            values.setdefault(place(source.row, source.column), {})[source.seed] = 100 * found
    entries = []
    for row in config.rows:
        for column in config.columns:
            key = place(row, column)
            mine = values.get(key, {})
            base = place(*config.base[key]) if key in config.base else None
            entries.append(
                {
                    "row": row,
                    "column": column,
                    "values": {str(seed): value for seed, value in sorted(mine.items())},
                    "mean": mean(mine.values()) if mine else None,
                    "spread": stdev(mine.values()) if len(mine) > 1 else None,
                    "gain": _gain(mine, values.get(base or "", {})),
                    "paper": config.paper.get(key),
                    "paper_gain": _difference(config.paper.get(key), config.paper.get(base or "")),
                    "note": config.notes.get(key),
                }
            )
    return entries


def _gain(mine: Mapping[int, float], base: Mapping[int, float]) -> float | None:
    """Mean difference over the seeds that both have: a seed that failed on one side favours neither."""
    both = mine.keys() & base.keys()
    return mean(mine[seed] - base[seed] for seed in both) if both else None


def _difference(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else round(value - base, 2)


def lines(config: TableConfig, entries: Sequence[Entry]) -> tuple[str, list[str], list[list[str]]]:
    """Title, columns and rows to print: below each row the paper's."""
    cells = {(entry["row"], entry["column"]): entry for entry in entries}
    has_paper = bool(config.paper or config.notes)
    rows = []
    for row in config.rows:
        rows.append([row, *(_own(cells[row, column]) for column in config.columns)])
        if has_paper:
            rows.append(["  paper", *(_paper(cells[row, column]) for column in config.columns)])
    seeds = len({source.seed for source in config.sources})
    kind = "Figure 4" if config.table == "fig4" else f"Table {config.table}"
    title = f"{kind}: {config.title}; run on {config.dataset}, scale {config.scale}, seeds: {seeds} (%)"
    return title, ["", *config.columns], rows


def _own(entry: Entry) -> str:
    if entry["mean"] is None:
        return "-"
    spread = "" if entry["spread"] is None else f" +- {entry['spread']:.2f}"
    return f"{entry['mean']:.2f}{spread}{_bracket(entry['gain'])}"


def _paper(entry: Entry) -> str:
    if entry["paper"] is None:
        return entry["note"] or "-"
    return f"{entry['paper']:.2f}{_bracket(entry['paper_gain'])}"


def _bracket(gain: float | None) -> str:
    return "" if gain is None else f" ({gain:+.2f})"


def as_csv(entries: Sequence[Entry]) -> str:
    """One line a cell."""
    names = ["row", "column", "mean", "spread", "gain", "paper", "paper_gain", "note"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, "seeds"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        writer.writerow({**entry, "seeds": " ".join(entry["values"])})
    return text.getvalue()


def run(job: Job) -> None:
    """Write table.json, table.csv, table.txt, table.png, and for a table of pictures the sheets."""
    config: TableConfig = job.config
    artifacts = {artifact.id: artifact for artifact in job.inputs}
    reports = {id: Report.read(artifact).tree() for id, artifact in artifacts.items()}
    entries = collect(config, reports)
    about = {"table": config.table, "title": config.title, "dataset": config.dataset, "scale": config.scale}
    TableIndex(**about, cells=tuple(entries)).write(job.directory)
    (job.directory / "table.csv").write_text(as_csv(entries))
    console = Console(file=io.StringIO(), width=200, highlight=False, record=True)
    console.print(drawn(*lines(config, entries)))
    (job.directory / "table.txt").write_text(console.export_text())
    _draw(config, entries, job.directory / "table.png")
    if config.pictures:
        _sheets(config, artifacts, job.directory / "sheets")


def _draw(config: TableConfig, entries: Sequence[Entry], path: Path) -> None:
    """A group of bars a column, a bar a row; the paper's number is a black line."""
    cells = {(entry["row"], entry["column"]): entry for entry in entries}
    figure = figures.new_figure(2.5 + max(0.8, 0.35 * len(config.rows)) * len(config.columns), 4)
    axes = figure.add_subplot(ylabel="%")
    width = 0.8 / len(config.rows)
    centres = np.arange(len(config.columns))
    for index, row in enumerate(config.rows):
        x = centres + (index - (len(config.rows) - 1) / 2) * width
        column = [cells[row, name] for name in config.columns]
        heights = [np.nan if e["mean"] is None else e["mean"] for e in column]
        axes.bar(x, heights, width, yerr=[e["spread"] or 0 for e in column], label=row)
        known = [(at, e["paper"]) for at, e in zip(x, column, strict=True) if e["paper"] is not None]
        axes.hlines(
            [p for _, p in known], [at - width / 2 for at, _ in known], [at + width / 2 for at, _ in known], "k"
        )
    axes.set_xticks(centres, config.columns)
    where = f"{config.dataset}, {config.scale}; line: the paper"
    axes.set_title(f"{figures.drawn(config.title)}\n{figures.drawn(where)}", fontsize=9)
    figure.legend(loc="outside right upper", fontsize=8)
    figures.save(figure, path, dpi=100)


def _sheets(config: TableConfig, artifacts: Mapping[str, Artifact], directory: Path) -> None:
    """The pictures of the same frame by all reports of the first seed, one below the other."""
    first = min((source.seed for source in config.sources), default=0)
    chosen = {s.row: artifacts[s.report] for s in config.sources if s.seed == first}
    drawn = {row: {f.path for f in a.entries() if f.path.startswith("pictures/")} for row, a in chosen.items()}
    common = sorted(set.intersection(*drawn.values())) if drawn else []
    directory.mkdir()
    font, line = ImageFont.load_default(16), 22
    for name in common:
        strips = {}
        for row, artifact in chosen.items():
            with Image.open(artifact.file(name)) as image:
                strips[row] = image.convert("RGB")
        width, height = max(s.width for s in strips.values()), sum(s.height + line for s in strips.values())
        sheet, y = Image.new("RGB", (width, height), "white"), 0
        for row, strip in strips.items():
            ImageDraw.Draw(sheet).text((4, y + 2), row, "black", font)
            sheet.paste(strip, (0, y + line))
            y += strip.height + line
        sheet.save(directory / Path(name).name)
