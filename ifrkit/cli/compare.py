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
    from ifrkit.evaluation import comparison, records, tables, verdicts
    from ifrkit.report import terminal
else:
    indexes, store = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.artifacts.store")
    comparison, verdicts = lazy("ifrkit.evaluation.comparison"), lazy("ifrkit.evaluation.verdicts")
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
    frames) are refused. A second table has each metric of each further row minus that of the first row, with a 95 %
    interval (paired bootstrap over the videos, and over the seeds where there are several). Sentences below say what
    cannot be told from chance; of several comparisons each has to hold at a higher level.

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
    if different := comparison.differences(reports):
        raise ConfigError(f"the reports differ in {'; '.join(different)}", "compare reports of one kind")
    metrics, rows = comparison.comparison(reports)
    _add_differences(rows, metrics, unique, power)
    if as_json:
        say.line(json.dumps(rows))
        return
    cells = [
        [
            f"{r['model']}: {r['system']}",
            f"{r['passes']:.1f}",
            str(len(r["seeds"])),
            *(tables.spread(r["metrics"][m]) for m in metrics),
        ]
        for r in rows
    ]
    title = f"{reports[0]['dataset']} {reports[0]['split']} (%)"
    terminal.show(title, ["model", "passes", "seeds", *tables.titles(metrics)], cells)
    if leak := reports[0].get("leakage"):  # of the clips, which all reports share
        say.line(leak)
    for said in dict.fromkeys(filter(None, map(tables.calibration, reports))):
        say.line(said)
    if "differences" in rows[0] and len(rows) > 1:
        terminal.show(*verdicts.against(rows))
        for line in verdicts.verdicts(rows):
            say.line(line)


def _add_differences(
    rows: list[dict[str, Any]], metrics: list[str], reports: list[store.Artifact], power: bool
) -> None:
    """Intervals, where every report has what they are made from; says so where one has not."""
    counts = {report.path: records.read_records(report) for report in reports}
    if without := [path for path, found in counts.items() if found is None]:
        remedy = "made by an older version: run `ifrkit eval --force` again for intervals"
        say.error(f"ifrkit compare: {without[0]} has no counts of single videos; {remedy}")
        return
    comparison.against_first(rows, metrics, [found for found in counts.values() if found is not None], power)


command.params.append(WORKSPACE)
