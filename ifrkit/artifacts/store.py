"""Open, find, begin and commit artifacts (STUB SIGNATURES: the platform author fills them in).

    WORKSPACE/KIND/NAME-ID12/manifest.json + payload
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("clips", "pseudo-labels", "branches", "flow", "video-model", "report", "predictions")


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: read-only.

    manifest (typed in manifest.py): kind, schema, id, inputs, config, origins, seed, command, environment, metrics, files.
    """

    path: Path
    manifest: Any

    @property
    def kind(self) -> str:
        return str(self.manifest.kind)

    @property
    def id(self) -> str:
        return str(self.manifest.id)

    def file(self, name: str) -> Path:
        """A payload file, after checking that it is listed, lies inside, and has its recorded size (weights: sha256)."""
        raise NotImplementedError

    def inputs(self) -> list[Artifact]:
        """The artifacts this one was made from, opened through their relative paths."""
        raise NotImplementedError

    def ancestor(self, kind: str) -> Artifact | None:
        """This artifact if it is of that kind, else the nearest one in its lineage."""
        raise NotImplementedError


def open_artifact(path: Path, kinds: tuple[str, ...] = ()) -> Artifact:
    """Open a committed artifact and check kind and schema. Raises ArtifactError."""
    raise NotImplementedError
