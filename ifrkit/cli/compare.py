"""`ifrkit compare`: several reports in one table. Prints to standard output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion, say
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit.artifacts import indexes, store
    from ifrkit.evaluation import records, tables
    from ifrkit.report import terminal
else:
    indexes, store = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.artifacts.store")
    records, tables = lazy("ifrkit.evaluation.records"), lazy("ifrkit.evaluation.tables")
    terminal = lazy("ifrkit.report.terminal")


@click.command("compare", context_settings=SETTINGS)
@click.argument("references", nargs=-1, metavar="REPORT...", shell_complete=completion.references)
@click.option("--power", is_flag=True, help="Also say how many videos or seeds would tell each difference.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the value of every seed.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
def command(references: tuple[str, ...], workspace: Path, power: bool, as_json: bool) -> None:
    """Put the reports of several models into one table.

    REPORT is a path or the beginning of an id. Reports of the same training with other seeds become one row: mean and
    standard deviation; other settings are named. Numbers that were measured differently (clips, split, flow, key
    frames) are refused. After each row: its mIoU minus that of the first row, with a 95 % interval (paired
    bootstrap over the videos, and over the seeds where there are several). Sentences below say what cannot be told
    from chance; of several comparisons each has to hold at a higher level.

    \b
    Examples:
      ifrkit compare ifrkit_artifacts/report/*
      ifrkit compare "$A" "$B" --json             # two lines that `ifrkit eval` printed
      ifrkit compare ifrkit_artifacts/report/* --power
    """
    if not references:
        raise ConfigError("no reports named", "give their paths: ifrkit compare ifrkit_artifacts/report/*")
    found = [store.resolve(workspace, reference, ("report",)) for reference in references]
    unique = list({artifact.id: artifact for artifact in found}.values())
    reports = [indexes.Report.read(artifact).tree() for artifact in unique]
    if different := tables.differences(reports):
        raise ConfigError(f"the reports differ in {'; '.join(different)}", "compare reports of one kind")
    metrics, rows = tables.comparison(reports)
    if "miou" in metrics:
        _add_differences(rows, unique, power)
    if as_json:
        say.line(json.dumps(rows))
        return
    cells = [
        [
            f"{r['model']}: {r['system']}",
            f"{r['passes']:.1f}",
            str(len(r["seeds"])),
            *(tables.spread(r["metrics"][m]) for m in metrics),
            *([tables.interval(r["difference"])] if "difference" in r else []),
        ]
        for r in rows
    ]
    columns = ["model", "passes", "seeds", *tables.titles(metrics)]
    if "difference" in rows[0]:
        columns.append("mIoU - first row [95 %]")
    title = f"{reports[0]['dataset']} {reports[0]['split']} (%)"
    terminal.show(title, columns, cells)
    for line in tables.verdicts(rows) if "difference" in rows[0] else ():
        say.line(line)


def _add_differences(rows: list[dict[str, Any]], reports: list[store.Artifact], power: bool) -> None:
    """Intervals, where every report has what they are made from; says so where one has not."""
    counts = {report.path: records.read_records(report) for report in reports}
    if without := [path for path, found in counts.items() if found is None]:
        remedy = "made by an older version: run `ifrkit eval --force` again for intervals"
        say.error(f"ifrkit compare: {without[0]} has no counts of single videos; {remedy}")
        return
    tables.against_first(rows, [found for found in counts.values() if found is not None], power)


command.params.append(WORKSPACE)
