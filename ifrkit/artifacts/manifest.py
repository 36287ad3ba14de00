"""manifest.json: the commit mark of an artifact, and everything needed to trust and remake it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.config.base import Config
from ifrkit.errors import ArtifactError

FORMAT = 1
"""Version of the manifest itself; each stage versions its payload in `schema_version`."""
NAME = "manifest.json"


class InputRef(Config):
    """An input artifact: `path` is relative to the artifact that used it."""

    kind: str
    id: str
    path: str


class FileEntry(Config):
    """One payload file."""

    path: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Config):
    """What an artifact is, what it was made from, how, and its files."""

    format: int = FORMAT
    kind: str
    schema_version: int = Field(ge=1)
    id: str = Field(pattern=r"^[0-9a-f]{64}$")
    stage: str
    label: str
    created: str
    inputs: tuple[InputRef, ...] = ()
    config: dict[str, Any] = {}
    origins: dict[str, str] = {}
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    metrics: dict[str, Any] = {}
    files: tuple[FileEntry, ...] = ()


def content_id(kind: str, schema: int, identity: dict[str, Any], inputs: list[str], source: str) -> str:
    """sha256 over what decides the result: kind, schema, config without runtime, input ids, source fingerprint."""
    tree = {"kind": kind, "schema": schema, "config": identity, "inputs": sorted(inputs), "source": source}
    return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, in bounded memory."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """The last write of a commit."""
    write_atomic(directory / NAME, (manifest.model_dump_json(indent=2) + "\n").encode())


def read_manifest(directory: Path) -> Manifest:
    """Raises ArtifactError for a missing, corrupt or newer manifest."""
    path = directory / NAME
    try:
        tree = json.loads(path.read_text())
        if isinstance(tree, dict) and isinstance(tree.get("format"), int) and tree["format"] > FORMAT:
            raise ArtifactError(f"{path}: made by a newer ifrkit (format {tree['format']} > {FORMAT})", "upgrade ifrkit")
        return Manifest.model_validate(tree)
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{directory}: no artifact there (no {NAME})", "check the path, or run the stage again") from None
    except (ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ArtifactError(f"{path}: corrupt manifest ({first})", "make the artifact anew with --force") from None
