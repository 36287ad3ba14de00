"""What a stage is, and what it is given.

A stage module defines `STAGE = Stage(...)`; `ifrkit.stages.runner.execute` resolves the id, answers "up to date",
locks, calls `run(job)` and commits. Stage modules import torch inside `run`, never at the top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact
from ifrkit.core.config import Config


@dataclass(frozen=True)
class Stage:
    """Name, what it makes from what, its config, and the function that does it.

    needs: kinds of the one input artifact that is resolved from --from, the pipe or the workspace (empty: none).
    accepts: further kinds that --from or the pipe may bring instead.
    source_identity: extra identity for a stage whose input is not an artifact (prepare: the dataset's fingerprint).
    resumable: keeps state in scratch and continues with --resume.
    """

    name: str
    kind: str
    config: type[Config]
    run: Callable[[Job], None]
    needs: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()
    schema: int = 1
    resumable: bool = False
    source_identity: Callable[[Any], str] | None = None
    extra_inputs: Callable[[Any, list[Artifact], Path], list[Artifact]] | None = None
    """Further inputs that the config names or implies (config, resolved inputs, workspace) -> artifacts."""
    label: Callable[[Any], str] = lambda config: "artifact"
    """The human part of the artifact's directory name ("ifr-1-30")."""
