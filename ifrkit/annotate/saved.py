"""What a run of `propagate` that was stopped, or killed, goes on from.

    labels-00000.h5              a file of labels, whole, or, where a signal came, its first rows
    scratch/labels-00000.h5.json how many rows it has, where their labels come from, and its sha256

What is damaged is made again: nothing of it is lost but time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ifrkit.artifacts.indexes import CarriedFrame
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.notes import changed, checksums, read_note, write_note
from ifrkit.core.errors import ArtifactError
from ifrkit.core.invalid import Invalid


class Part(NamedTuple):
    """A file of labels that an earlier run left. rows: how many are filled; origins: of the frames in them."""

    rows: int
    origins: dict[str, CarriedFrame]


def save(job: Job, path: Path, part: Part) -> None:
    """Remember a file that is written."""
    origins = {name: frame.tree() for name, frame in part.origins.items()}
    write_note(_note(job, path), {"rows": part.rows, "origins": origins, "files": checksums(path)})


def saved(job: Job, path: Path) -> Part | None:
    """What an earlier run left of a file; None where it left nothing that is sound."""
    if not job.resumed or not _note(job, path).exists():
        return None
    try:
        note: dict[str, Any] = read_note(_note(job, path))
        if changed(path.parent, note["files"]) is not None:
            return None
        origins = {name: CarriedFrame.of(frame) for name, frame in note["origins"].items()}
        return Part(int(note["rows"]), origins)
    except (ArtifactError, Invalid, KeyError):
        return None


def origins(job: Job, path: Path) -> dict[str, Any]:
    """Where the labels of a file that this run saved come from, in JSON's types. Raises ArtifactError for damage."""
    found: dict[str, Any] = read_note(_note(job, path))["origins"]
    return found


def _note(job: Job, path: Path) -> Path:
    return job.scratch / f"{path.name}.json"
