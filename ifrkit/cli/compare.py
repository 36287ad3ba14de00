"""`ifrkit compare`: several reports in one table. Prints to standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.errors import ConfigError


@click.command("compare", context_settings=SETTINGS)
@click.argument("references", nargs=-1, metavar="REPORT...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the value of every seed.")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Tracebacks for every error.")
def command(references: tuple[str, ...], workspace: Path, as_json: bool) -> None:
    """Put the reports of several models into one table.

    REPORT is a path or the beginning of an id. Reports of the same training with other seeds become one row: mean and
    standard deviation; other settings are named. Numbers that were measured differently (clips, split, flow, key
    frames) are refused.

    \b
    Examples:
      ifrkit compare ifrkit_artifacts/report/*
      ifrkit compare 3f2a 9c41 --json
    """
    from ifrkit.artifacts import store
    from ifrkit.evaluation import tables

    if not references:
        raise ConfigError("no reports named", "give their paths: ifrkit compare ifrkit_artifacts/report/*")
    found = [store.resolve(workspace, reference, ("report",)) for reference in references]
    unique = {artifact.id: artifact for artifact in found}.values()
    reports = [json.loads(artifact.file("report.json").read_text()) for artifact in unique]
    if different := tables.differences(reports):
        raise ConfigError(f"the reports differ in {'; '.join(different)}", "compare reports of one kind")
    metrics, rows = tables.comparison(reports)
    if as_json:
        click.echo(json.dumps(rows))
        return
    from rich.console import Console

    from ifrkit.cli.reporter import drawn

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
    console = Console(highlight=False, width=None if sys.stdout and sys.stdout.isatty() else 200)
    console.print(drawn(title, ["model", "passes", "seeds", *tables.titles(metrics)], cells))


command.params.append(WORKSPACE)
