"""Resume state in JSON: small files with their own checksum, written at once. Damage means to start again, in one line.

A note about a finished file holds the file's sha256, so that a resumed run knows that it is still what was written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.artifacts.listing import sha256
from ifrkit.artifacts.manifest import sealed, unsealed
from ifrkit.core.errors import ArtifactError
from ifrkit.core.plain import read_plain

AGAIN = "start again with --force"


def write_note(path: Path, tree: dict[str, Any]) -> None:
    """Replace a note. tree: values of JSON."""
    write_atomic(path, sealed(tree))


def read_note(path: Path) -> dict[str, Any]:
    """What `write_note` wrote. Raises ArtifactError if it is missing or damaged."""
    try:
        return unsealed(read_plain(path), "note of a run")
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing: what was saved of this run is not whole", AGAIN) from None
    except ValueError as error:
        raise ArtifactError(f"{path} is not a sound resume state ({error})", AGAIN) from None


def checksums(*paths: Path) -> dict[str, str]:
    """sha256 of files by name, to stand in a note."""
    return {path.name: sha256(path) for path in paths}


def changed(directory: Path, sums: dict[str, str]) -> Path | None:
    """The first of these files in a directory that is gone, or not what it was; None if all are sound."""
    paths = {directory / name: digest for name, digest in sums.items()}
    return next((path for path, digest in paths.items() if not path.is_file() or sha256(path) != digest), None)


def require_unchanged(directory: Path, sums: dict[str, str]) -> None:
    """Raise ArtifactError that names the first file which is gone, or not what it was when its note was written."""
    if bad := changed(directory, sums):
        raise ArtifactError(f"{bad} is not what the interrupted run had written", AGAIN)
