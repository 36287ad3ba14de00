"""`manifest.json`: what an artifact is, what it was made from and how, and the checksum of the list of its files.

Its presence is what makes a directory an artifact, so it is written last.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.artifacts.listing import FileEntry
from ifrkit.core.bounds import Count
from ifrkit.core.config import Config
from ifrkit.core.errors import ArtifactError
from ifrkit.core.faults import PASSING
from ifrkit.core.invalid import Invalid
from ifrkit.core.plain import read_plain
from ifrkit.core.stage import maker

FILE = "manifest.json"
SEAL = "sha256"
"""Key of the manifest's own checksum, over all its other keys. One without is read, too."""
DEEPEST = 64
"""Levels of a manifest; what is nested more deeply is none of ours."""


def _count_bytes(tree: dict[str, Any]) -> dict[str, Any]:
    """Version 1 has all files in the manifest, which stay there, and no sum of their sizes."""
    return {**tree, "size": sum(file["size"] for file in tree.get("files", ()))}


MIGRATIONS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_count_bytes,)
"""MIGRATIONS[n] turns the tree of version n + 1 into that of version n + 2; its name says what it changes."""

VERSION = 1 + len(MIGRATIONS)
"""Version of the manifest's own form."""


class InputRef(Config):
    """An artifact this one was made from. path: relative to this artifact's directory."""

    kind: str
    id: str
    path: str


class Manifest(Config, kw_only=True):
    """Everything about an artifact but its payload."""

    ifrkit: int = VERSION
    kind: str
    schema_version: int = 1
    """Of the payload, for its kind."""
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    """sha256 over what determines the result: kind, schema, config, input ids, source data."""
    stage: str = ""
    created: str = ""
    """UTC, ISO 8601 with microseconds; sorts as text."""
    sequence: Count = 0
    """Grows with every commit in a workspace, whatever the clock says; 0: an older version made it."""
    inputs: tuple[InputRef, ...] = ()
    config: dict[str, Any] = {}
    origins: dict[str, str] = {}
    """Dotted key -> where its value came from; keys that are missing here had their default."""
    seed: int | None = None
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    metrics: dict[str, Any] = {}
    size: Count = 0
    """Bytes of all payload files."""
    files: tuple[FileEntry, ...] = ()
    """`files.jsonl`, which lists the payload. An artifact of version 1 has the payload itself here."""


def plain(value: Any) -> Any:
    """The same value in JSON's types: numbers of numpy and torch become Python's, not-a-number and infinity null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def canonical(value: Any) -> bytes:
    """One byte string for one value: sorted keys, no spaces."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest(value: Any) -> str:
    """Hexadecimal, of a value in JSON's types in the order that it has."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def make_id(kind: str, schema_version: int, identity: dict[str, Any], input_ids: list[str], source: str) -> str:
    """The id: 64 hex digits that are equal exactly when everything that determines the result is equal."""
    return hashlib.sha256(canonical([kind, schema_version, identity, sorted(input_ids), source])).hexdigest()


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest, with its own checksum, durably. Call it last."""
    write_atomic(directory / FILE, sealed(manifest.tree(), indent=1))


def _checksum(tree: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(tree)).hexdigest()


def sealed(tree: dict[str, Any], indent: int | None = None) -> bytes:
    """JSON of a tree, its keys in their order, with its own checksum beside them."""
    tree = plain(tree)
    return (json.dumps(tree | {SEAL: _checksum(tree)}, indent=indent) + "\n").encode()


def unsealed(data: bytes, what: str, *, required: bool = True) -> dict[str, Any]:
    """What `sealed` wrote, and what it is. required: the checksum has to be there. Raises ValueError that says why."""
    try:
        tree = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(tree, dict):
        raise ValueError(f"it is not a {what}")
    if _deeper(tree, DEEPEST):
        raise ValueError("nested too deeply")
    seal = tree.pop(SEAL, None)
    if (seal is not None or required) and seal != _checksum(tree):
        raise ValueError(f"{SEAL} is not that of the rest")
    return tree


def _deeper(tree: Any, levels: int) -> bool:
    """Whether a value of JSON is nested more deeply, without recursion."""
    level = [tree]
    for _ in range(levels):
        inner = [list(value.values()) if isinstance(value, dict) else value for value in level]
        level = [value for values in inner if isinstance(values, list) for value in values]
        if not level:
            return False
    return True


def read_manifest(directory: Path) -> Manifest:
    """Read, migrate and check a manifest. Raises ArtifactError if it is missing, corrupt or too new."""
    path = directory / FILE
    try:
        tree = unsealed(read_plain(path), "manifest of ifrkit", required=False)
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{directory} is not an artifact (it has no {FILE})", "check the path") from None
    except OSError as error:
        if error.errno in PASSING:
            raise
        raise ArtifactError(f"{path} cannot be read ({error.strerror})", "allow it, or copy it again") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is corrupt ({error})", "make the artifact again") from None
    version = tree.get("ifrkit")
    if type(version) is not int or version < 1:
        raise ArtifactError(f"{path} is not a manifest of ifrkit", "check the path")
    if version > VERSION:
        raise _too_new(path, "manifest version", version, VERSION)
    try:
        for migrate in MIGRATIONS[version - 1 :]:
            tree = migrate(tree)
        manifest = Manifest.of(tree)
    except Invalid as error:
        raise ArtifactError(f"{path} is corrupt: {error.message}", "make the artifact again") from None
    except (TypeError, KeyError) as error:
        raise ArtifactError(f"{path} is corrupt ({error})", "make the artifact again") from None
    stage = maker(manifest.kind)
    if stage is not None and manifest.schema_version > stage.schema:
        raise _too_new(path, f"schema of {manifest.kind}", manifest.schema_version, stage.schema)
    return manifest


def _too_new(path: Path, what: str, found: int, known: int) -> ArtifactError:
    return ArtifactError(f"{path}: {what} is {found}, this ifrkit reads up to {known}", "upgrade ifrkit")
