"""What a page is made of: reports, the artifacts that they came from, their logs and pictures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ifrkit.artifacts.indexes import Report
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError
from ifrkit.evaluation.records import Records, read_records
from ifrkit.report.curves import Run, read_runs

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TRAININGS = ("branches", "flow", "video-model")


@dataclass
class Model:
    """One column of the page: a report, or a training that was not judged (then tree is empty).

    letter: its short name. lineage: itself and all that it was made from, nearest first. gone: inputs that are no
    longer there, a line each.
    """

    letter: str
    artifact: Artifact
    tree: dict[str, Any] = field(default_factory=dict)
    records: Records | None = None
    lineage: list[Artifact] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """How the model was trained, in a few words."""
        model = self.tree.get("model")
        if model is None:
            return f"{self.letter}: {self.artifact.path.name}"
        backbones = "/".join(model["backbones"].values())
        return f"{self.letter}: {'+'.join(model['ssl'])} {model['labeled']} {backbones}, seed {model['seed']}"

    @property
    def system(self) -> str:
        """The system that the report is about; the others are its baselines."""
        return str(next(iter(self.tree["systems"])))

    def pictures(self, folder: str) -> list[Path]:
        """Pictures in a folder of the report, in order."""
        return self.artifact.files(f"{folder}/*")


def gather(artifacts: list[Artifact]) -> list[Model]:
    """Read what the page needs of each artifact. Raises ArtifactError for one that is damaged."""
    models = []
    for number, artifact in enumerate(artifacts):
        letter = LETTERS[number] if number < len(LETTERS) else str(number + 1)
        model = Model(letter, artifact)
        if artifact.kind == "report":
            model.tree = Report.read(artifact).tree()
            model.records = read_records(artifact)
        _trace(model)
        models.append(model)
    return models


def trainings(models: Sequence[Model]) -> dict[str, list[Run]]:
    """Curves by network ("update"); each run once, named after the models that it is a part of ("A, B")."""
    users: dict[str, list[str]] = {}
    found: dict[str, Artifact] = {}
    for model in models:
        for made in model.lineage:
            if made.kind in TRAININGS:
                found[made.id] = made
                users.setdefault(made.id, []).append(model.letter)
    groups: dict[str, list[Run]] = {}
    for id, made in found.items():
        for run in read_runs(made):
            if run.loss or run.metric:
                groups.setdefault(run.name, []).append(replace(run, name=", ".join(users[id])))
    return groups


def _trace(model: Model) -> None:
    waiting, seen = [model.artifact], set()
    while waiting:
        artifact = waiting.pop(0)
        if artifact.id in seen:
            continue
        seen.add(artifact.id)
        model.lineage.append(artifact)
        for reference in artifact.manifest.inputs:
            try:
                waiting.append(artifact.input(reference))
            except ArtifactError as error:  # the numbers are still true
                model.gone.append(error.message)


def command_line(artifact: Artifact) -> str:
    """The command that made it, as somebody else would type it: without the directory of the executable."""
    words = artifact.manifest.command
    if not words:
        return ""
    program = Path(words[0])
    name = "ifrkit" if program.name == "__main__.py" else program.name
    return shlex.join([name, *words[1:]])
