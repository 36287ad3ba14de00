"""Artifacts in a workspace: WORKSPACE/KIND/LABEL-ID12/ with manifest.json and payload files.

While it is being made, an artifact is the hidden directory `.LABEL-ID12.partial` beside its final place; the commit
fsyncs the payload, writes the manifest last and renames. No manifest, no artifact.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ifrkit.artifacts.atomic import fsync_path, safe_join
from ifrkit.artifacts.manifest import NAME, FileEntry, Manifest, file_sha256, read_manifest, write_manifest
from ifrkit.errors import ArtifactError, ConfigError

KINDS = ("clips", "pseudo-labels", "branches", "flow", "video-model", "report", "predictions")
SCRATCH = ".scratch"


@dataclass(frozen=True)
class Artifact:
    """A committed artifact; read-only."""

    path: Path
    manifest: Manifest

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def id(self) -> str:
        return self.manifest.id

    @cached_property
    def _entries(self) -> dict[str, FileEntry]:
        return {entry.path: entry for entry in self.manifest.files}

    def file(self, name: str) -> Path:
        """A payload file after its checks: listed, inside, of its recorded size; weights also by sha256."""
        entry = self._entries.get(name)
        if entry is None:
            raise ArtifactError(f"{self.path}: has no file {name!r}", "make the artifact anew with --force")
        path = self._sized(entry)
        if name.endswith(".safetensors"):
            self._hashed(entry, path)
        return path

    def verify(self) -> None:
        """Check every file's size and sha256. Raises ArtifactError at the first that differs."""
        for entry in self.manifest.files:
            self._hashed(entry, self._sized(entry))

    def inputs(self) -> list[Artifact]:
        """What this artifact was made from: at the recorded relative path, else by id in this workspace."""
        return [self._input(ref.kind, ref.id, ref.path) for ref in self.manifest.inputs]

    def ancestor(self, kind: str) -> Artifact | None:
        """This artifact if it is of that kind, else the nearest one in its lineage."""
        level = [self]
        while level:
            for artifact in level:
                if artifact.kind == kind:
                    return artifact
            level = [parent for artifact in level for parent in artifact.inputs()]
        return None

    def _input(self, kind: str, wanted: str, relative: str) -> Artifact:
        candidates = [Path(os.path.normpath(self.path / relative))]
        candidates += sorted((self.path.parent.parent / kind).glob(f"*-{wanted[:12]}*"))
        for path in candidates:
            if (path / NAME).is_file() and (found := open_artifact(path)).id == wanted:
                return found
        raise ArtifactError(f"{self.path}: its input {kind} {wanted[:12]} is gone", f"make it again at {candidates[0]}")

    def _sized(self, entry: FileEntry) -> Path:
        path = safe_join(self.path, entry.path)
        size = path.stat().st_size if path.is_file() else -1
        if size != entry.size:
            state = "missing" if size < 0 else f"{size} bytes, not {entry.size}"
            raise ArtifactError(f"{path}: {state}", "make the artifact anew with --force")
        return path

    def _hashed(self, entry: FileEntry, path: Path) -> None:
        if file_sha256(path) != entry.sha256:
            raise ArtifactError(f"{path}: sha256 differs from the manifest (corrupt)", "make the artifact anew with --force")


def open_artifact(path: Path, kinds: tuple[str, ...] = ()) -> Artifact:
    """Open a committed artifact. Raises ArtifactError when it is missing, corrupt, too new or not of these kinds."""
    manifest = read_manifest(path)
    if kinds and manifest.kind not in kinds:
        raise ArtifactError(f"{path}: is a {manifest.kind} artifact", f"give one of kind {' or '.join(kinds)}")
    return Artifact(path.resolve(), manifest)


def list_artifacts(workspace: Path, kinds: tuple[str, ...] = KINDS) -> list[Artifact]:
    """All readable artifacts of these kinds, oldest first; unreadable ones are skipped (`verify` names them)."""
    found = []
    for kind in kinds:
        for manifest in (workspace / kind).glob(f"*/{NAME}"):
            if manifest.parent.name.startswith("."):
                continue
            try:
                found.append(open_artifact(manifest.parent))
            except ArtifactError:
                continue
    return sorted(found, key=lambda a: (a.manifest.created, a.path.name))


def resolve(workspace: Path, reference: str) -> Artifact:
    """An artifact by path, by a prefix of its id, or by kind (the newest). Raises ArtifactError."""
    if (Path(reference) / NAME).is_file():
        return open_artifact(Path(reference))
    artifacts = list_artifacts(workspace)
    if reference in KINDS:
        of_kind = [a for a in artifacts if a.kind == reference]
        if of_kind:
            return of_kind[-1]
    elif len(reference) >= 4:
        matches = [a for a in artifacts if a.id.startswith(reference) or a.path.name == reference]
        if len(matches) > 1:
            raise ConfigError(f"{reference!r} names {len(matches)} artifacts", "give more characters of the id")
        if matches:
            return matches[0]
    raise ArtifactError(f"no artifact {reference!r} in {workspace}", "see `ifrkit artifacts ls`")


def payload(directory: Path) -> tuple[FileEntry, ...]:
    """Every file of a directory (scratch and manifest excluded), fsynced, with size and sha256."""
    entries = []
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = path.relative_to(directory).as_posix()
        if name == NAME or name.startswith(f"{SCRATCH}/"):
            continue
        fsync_path(path)
        entries.append(FileEntry(path=name, size=path.stat().st_size, sha256=file_sha256(path)))
    return tuple(entries)


def commit(partial: Path, final: Path, manifest: Manifest) -> Artifact:
    """Make a partial directory an artifact. An older artifact at `final` gives way in the same moment."""
    shutil.rmtree(partial / SCRATCH, ignore_errors=True)
    write_manifest(partial, manifest)
    old = final.with_name(f".{final.name}.old-{os.getpid()}")
    if final.exists():
        final.rename(old)
    partial.rename(final)
    fsync_path(final.parent)
    shutil.rmtree(old, ignore_errors=True)
    return Artifact(final.resolve(), manifest)
