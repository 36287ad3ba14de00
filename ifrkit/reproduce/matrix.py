"""A table on a dataset, at a scale, for some seeds: its nodes, and their numbers once they have run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ifrkit.artifacts import store
from ifrkit.artifacts.indexes import Report
from ifrkit.artifacts.job import Display
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ConfigError, DatasetError, IfrkitError
from ifrkit.reproduce import results
from ifrkit.reproduce.plan import Builder, Node, ordered
from ifrkit.reproduce.run import Call, Outcome
from ifrkit.reproduce.tables import TABLES, Measure, Table
from ifrkit.stages.reproduce import STAGE
from ifrkit.stages.runner import Run, execute

ROOTLESS = ("synthetic",)
"""Datasets that read nothing."""


@dataclass(frozen=True)
class Data:
    """What a table is run on. name: of the dataset, None for the paper's (tiny: synthetic). sets: `STAGE.KEY=VALUE`."""

    name: str | None = None
    root: str | None = None
    scale: str = "full"
    sets: Iterable[str] = ()


@dataclass(frozen=True)
class Matrix:
    """Chosen rows and columns of a table, and what measures each cell for each seed."""

    name: str
    table: Table
    builder: Builder
    rows: Sequence[str]
    columns: Sequence[str]
    measures: dict[tuple[str, str, int], Measure]

    @classmethod
    def of(cls, name: str, data: Data, seeds: Sequence[int], only: str | None) -> Matrix:
        """The matrix of a table. only: texts of which a row's or column's name holds one. Raises ConfigError."""
        usual, make = TABLES[name]
        dataset = data.name or ("synthetic" if data.scale == "tiny" else usual)
        if data.root is None and dataset not in ROOTLESS:
            fault = f"reproduce {name} reads {dataset}, and no --root was given"
            raise ConfigError(fault, f"say where {dataset} lies, or --scale tiny (synthetic video)")
        builder = Builder(dataset, data.root, data.scale, data.sets)
        table = make(builder)
        rows, columns = _chosen(table, only)
        places = [(row, column, seed) for row in rows for column in columns for seed in seeds]
        found = {place: measure for place in places if (measure := table.measure(*place))}
        return cls(name, table, builder, rows, columns, found)

    @property
    def nodes(self) -> list[Node]:
        """All runs, inputs before what reads them."""
        return ordered(measure.report for measure in self.measures.values())

    @property
    def digest(self) -> str:
        """Of all runs and of what is shown: hexadecimal."""
        parts = [self.rows, self.columns, [node.digest for node in self.nodes]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def check(self, command: Call) -> dict[str, Any]:
        """The config of every node, by digest, from its own command: a mistake shows before hours of training.

        command: runs a stage's command in this process and returns what it printed.
        """
        found = {}
        for node in self.nodes:
            printed = command([*node.argv(lambda source: source.name), "--print-config", "--json"])
            found[node.digest] = json.loads(printed)["config"]
        for measure in self.measures.values():
            _require_measured(measure, found[measure.report.digest])
            if self.table.pictures and not found[measure.report.digest]["pictures"]:
                raise ConfigError("eval.pictures 0: this table shows pictures", "leave eval.pictures out")
        return found

    def collect(self, outcome: Outcome, workspace: Path, display: Display) -> Artifact:
        """Store the table. A report without its number is a failure as well, noted in the outcome.

        Raises IfrkitError, with the exit code of the worst failure, if nothing was made.
        """
        reports: dict[str, Artifact] = {}
        sources = []
        for (row, column, seed), measure in self.measures.items():
            if measure.report.digest in outcome.made:
                path = Path(outcome.reference(measure.report))
                artifact = store.open_artifact(path, ("report",), workspace=workspace)
                reports[artifact.id] = artifact
                keys = measure.keys
                if results.number(Report.read(artifact).tree(), keys) is None:
                    display.warn(f"{row}, {column}, seed {seed}: {artifact.path} has no number {'.'.join(keys)}")
                    outcome.codes.append(DatasetError.exit_code)
                sources.append(results.Source(row=row, column=column, seed=seed, report=artifact.id, keys=keys))
        if not reports:
            failed = IfrkitError("every cell failed", "see the errors above; the command goes on from here")
            failed.exit_code = max(outcome.codes, default=failed.exit_code)
            raise failed
        where = (self.builder.dataset, self.builder.scale, self.rows, self.columns)
        config = results.config_of(self.name, self.table, *where, sources)
        return execute(STAGE, config, Run(workspace=workspace, inputs=list(reports.values()), display=display))


def _require_measured(measure: Measure, config: dict[str, Any]) -> None:
    """Raise ConfigError where the `eval` of a cell, with the user's --set, would not measure what the cell shows."""
    whole, _, metric = measure.keys[:3]
    wanted: dict[str, Any] = {"metrics": metric}
    if whole == "inner_video":
        wanted = {"frames": "all", "split": "train"}
    for key, value in wanted.items():
        given = config[key]
        if value != given and not (isinstance(given, list) and value in given):
            shown = ",".join(given) if isinstance(given, list) else given
            raise ConfigError(f"eval.{key} {shown}: the table shows {value}", f"leave eval.{key} out, or add {value}")


def _chosen(table: Table, only: str | None) -> tuple[list[str], list[str]]:
    """Rows and columns that --only names; a text that fits none is an error, with what there is."""
    rows, columns = list(table.rows), list(table.columns)
    texts = [text.strip().lower() for text in (only or "").split(",") if text.strip()]
    found: tuple[list[str], list[str]] = ([], [])
    for text in texts:
        fits = [[name for name in names if text in name.lower()] for names in (rows, columns)]
        if not any(fits):
            raise ConfigError(f"--only {text}: no such row or column", f"known: {', '.join([*rows, *columns])}")
        for chosen, names in zip(found, fits, strict=True):
            chosen += names
    return [r for r in rows if r in found[0] or not found[0]], [c for c in columns if c in found[1] or not found[1]]
