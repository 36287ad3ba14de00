"""reproduce: a table of the paper from the reports of its runs. The command makes those first."""

from __future__ import annotations

from ifrkit.core.stage import Stage

STAGE = Stage(
    name="reproduce",
    kind="table",
    config="ifrkit.reproduce.results:TableConfig",
    run="ifrkit.reproduce.results:run",
    help="Run a table of the IFR paper, beside its numbers.",
    arguments="TABLE",
    order=100,
    needs=("report",),
    payload=("table.json", "table.csv", "table.txt", "table.png", "sheets/*.png"),
    in_recipes=False,
    label=lambda config: f"{config.table}-{config.dataset}-{config.scale}",
)
