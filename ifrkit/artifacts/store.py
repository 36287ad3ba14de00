"""Open, find, begin and commit artifacts.

    WORKSPACE/KIND/NAME-ID12/manifest.json + files.jsonl + payload

How it gets there, so that a crash at any point loses nothing:

    .partial-NAME/             payload, and scratch/ with the resume state
        files.jsonl            lists the payload
        manifest.json          written last: from now on the work is done, whatever happens
    NAME/                      the same directory, renamed; an old artifact there changes places with it
        scratch/               removed now, not before

`settle` finishes what a run left in between: the next run and `gc` call it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec.structs import replace

from ifrkit.artifacts.atomic import fsync_dir, fsync_tree, safe_join
from ifrkit.artifacts.listing import LIST, FileEntry, entry, read_list, sha256, walk, write_list
from ifrkit.artifacts.manifest import FILE, InputRef, Manifest, read_manifest, write_manifest
from ifrkit.artifacts.place import SUPERSEDED, put, taken
from ifrkit.artifacts.reference import parse_reference
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.stage import maker

CARD = "README.md"
"""The model card, which `ifrkit report --trust` writes beside weights that were made before it."""
SCRATCH = "scratch"
"""Folder of resume state and temporaries: never payload, gone when the artifact is in its place."""
PARTIAL = ".partial-"
REMAKE = "make the artifact again with --force, or copy it again"
SELF_CHECKED = (".h5",)
"""Files that hold a checksum of every row: their readers check what they read, `verify` all of it."""


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: read-only. workspace: where lineage looks when a recorded path no longer holds."""

    path: Path
    manifest: Manifest
    workspace: Path | None = field(default=None, compare=False)

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def id(self) -> str:
        return self.manifest.id

    def entries(self) -> Iterator[FileEntry]:
        """The payload files in the order of their names. Raises ArtifactError if their list is damaged."""
        for listed in self.manifest.files:
            if listed.path != LIST:
                yield listed  # version 1
                continue
            try:
                yield from read_list(self._checked(listed))
            except (ValueError, RecursionError) as error:
                fault = str(error).splitlines()[0]
                raise ArtifactError(f"{self.path / LIST} is corrupt ({fault})", REMAKE) from None

    def file(self, name: str) -> Path:
        """A payload file, if it is listed, inside, and as recorded: the one way to read of an artifact.

        Of files that check themselves (`SELF_CHECKED`) only the size is compared.
        """
        found = next((listed for listed in self.entries() if listed.path == name), None)
        if found is None:
            raise ArtifactError(f"{self.path} has no file {name!r}", f"it is of kind {self.kind}; check the path")
        return self._checked(found)

    def files(self, pattern: str) -> list[Path]:
        """The payload files whose name fits (`pictures/*.png`), in order, each checked as `file` does."""
        return [self._checked(listed) for listed in self.entries() if fnmatchcase(listed.path, pattern)]

    def has(self, name: str) -> bool:
        """Whether this is one of its files."""
        return any(listed.path == name for listed in self.entries())

    def problems(self, *, checksum: bool = True) -> Iterator[str]:
        """What is wrong with the listed files, one line each; none when all is well. checksum: not only sizes."""
        for listed in self.entries():
            if problem := self._problem(listed, checksum=checksum):
                yield f"{self.path / listed.path}: {problem}"

    def unlisted(self) -> Iterator[str]:
        """Files that somebody put beside the payload, in order; a model card may stand there."""
        listed = (each.path for each in self.entries())
        last = next(listed, None)
        for name in payload(self.path):
            while last is not None and last < name:
                last = next(listed, None)
            if name not in (last, CARD):
                yield name

    def inputs(self) -> list[Artifact]:
        """The artifacts this one was made from: where they were, else found by id in a workspace."""
        return [self.input(ref) for ref in self.manifest.inputs]

    def ancestor(self, kind: str) -> Artifact | None:
        """This artifact if it is of that kind, else the nearest one in its lineage.

        Raises ArtifactError where it is not among those that are left, and some are gone.
        """
        level, seen, gone = [self], {self.id}, list[ArtifactError]()
        while level:
            for artifact in level:
                if artifact.kind == kind:
                    return artifact
            parents = dict[str, Artifact]()
            for child, ref in [(artifact, ref) for artifact in level for ref in artifact.manifest.inputs]:
                try:
                    parents[ref.id] = child.input(ref)
                except ArtifactError as error:  # it may be reached another way
                    gone.append(error)
            level = [p for id, p in parents.items() if id not in seen]
            seen |= parents.keys()
        if gone:
            raise gone[0]
        return None

    def _checked(self, listed: FileEntry) -> Path:
        if problem := self._problem(listed, checksum=not listed.path.endswith(SELF_CHECKED)):
            raise ArtifactError(f"{self.path / listed.path}: {problem}", REMAKE)
        return self.path / listed.path

    def _problem(self, listed: FileEntry, *, checksum: bool) -> str:
        path = safe_join(self.path, listed.path)
        if not path.is_file():
            return "the file is missing"
        size = path.stat().st_size
        if size != listed.size:
            return f"the file has {size} bytes, its manifest says {listed.size}"
        if checksum and sha256(path) != listed.sha256:
            return "the file is corrupt (its sha256 is not the recorded one)"
        return ""

    def input(self, ref: InputRef) -> Artifact:
        """One of the artifacts this one was made from. Raises ArtifactError if it is gone."""
        recorded = Path(os.path.normpath(self.path.resolve() / ref.path))
        if (recorded / FILE).is_file():
            found = open_artifact(recorded, workspace=self.workspace)
            if found.id == ref.id:
                return found
        for workspace in (self.workspace, self.path.resolve().parent.parent, recorded.parent.parent):
            copy = find(workspace, ref.kind, ref.id) if workspace else None
            if copy:
                return copy
        remedy = f"make it again, or put it back at {recorded}"
        raise ArtifactError(f"{self.path} was made from {ref.kind} {ref.id[:12]}, which is gone", remedy)


def open_artifact(path: Path, kinds: tuple[str, ...] = (), *, workspace: Path | None = None) -> Artifact:
    """Open a committed artifact and check kind, schema, and the size of every file. Raises ArtifactError."""
    if not os.path.exists(path):  # of any text, also one that is too long for a path
        raise ArtifactError(f"no artifact at {path}", "check the path; `ifrkit artifacts ls` lists what there is")
    if path.name.startswith((PARTIAL, SUPERSEDED)):
        raise ArtifactError(f"{path} is not a finished artifact", "run its stage again")
    artifact = Artifact(path, read_manifest(path), workspace)
    if kinds and artifact.kind not in kinds:
        raise ArtifactError(f"{path} is of kind {artifact.kind}, needed is {' or '.join(kinds)}", "name another")
    for broken in artifact.problems(checksum=False):
        raise ArtifactError(broken, REMAKE)
    return artifact


def artifacts(workspace: Path, kind: str | None = None) -> Iterator[Artifact]:
    """Every artifact of a workspace with a readable manifest (its payload unchecked), oldest first within a kind."""
    found = []
    for path in directories(workspace, kind):
        with contextlib.suppress(ArtifactError):  # `check` names it; here it must not hide the others
            found.append(Artifact(path, read_manifest(path), workspace))
    yield from sorted(found, key=lambda a: (a.path.parent, age(a), a.path.name))


def age(artifact: Artifact) -> tuple[int, str]:
    """Sorts artifacts by when they were committed, oldest first. A clock that was set back does not change it."""
    return artifact.manifest.sequence, artifact.manifest.created


def next_sequence(workspace: Path) -> int:
    """The place of the artifact that is committed next."""
    return 1 + max((artifact.manifest.sequence for artifact in artifacts(workspace)), default=0)


def directories(workspace: Path, kind: str | None = None) -> list[Path]:
    """Every committed directory of a workspace, sound or not."""
    found = (path.parent for path in workspace.glob(f"{kind or '*'}/*/{FILE}"))
    return sorted(path for path in found if not path.name.startswith("."))


def check(path: Path) -> list[str]:
    """Everything that is wrong with an artifact, one line each: manifest, sizes, sha256, files that are not its own."""
    try:
        artifact = Artifact(path, read_manifest(path))
        return [*artifact.problems(), *(f"{path / name}: not in the manifest" for name in artifact.unlisted())]
    except ArtifactError as error:
        return [str(error)]


def newest(workspace: Path, kinds: tuple[str, ...]) -> Artifact | None:
    """The artifact of one of these kinds that was made last."""
    found = [a for kind in kinds for a in artifacts(workspace, kind)]
    last = max(found, key=age, default=None)
    return open_artifact(last.path, workspace=workspace) if last else None


def missing(workspace: Path, kinds: tuple[str, ...]) -> ArtifactError:
    """The error where a workspace has none of these kinds."""
    makers = " or ".join(f"`ifrkit {stage.command}`" for kind in kinds if (stage := maker(kind)))
    make = f"make one with {makers}" if makers else "make one"
    return ArtifactError(f"no {' or '.join(kinds)} artifact in {workspace}", f"{make}, or name it with its path")


def find(workspace: Path, kind: str, id: str) -> Artifact | None:
    """The artifact with this id, whatever its name."""
    for path in sorted((workspace / kind).glob(f"*-{id[:12]}")):
        if not path.name.startswith(".") and (path / FILE).is_file():
            artifact = open_artifact(path, workspace=workspace)
            if artifact.id == id:
                return artifact
    return None


def resolve(workspace: Path, reference: str, kinds: tuple[str, ...] = ()) -> Artifact:
    """What a user names: a path, a kind (its newest artifact), a directory as printed, the beginning of an id."""
    if maker(reference) is not None or reference in kinds:
        if kinds and reference not in kinds:
            raise ArtifactError(f"{reference} is a kind, needed is {' or '.join(kinds)}", "name another")
        found = newest(workspace, (reference,))
        if found is None:
            raise missing(workspace, (reference,))
        return found
    if reference.startswith("{"):  # the line of a stage, where its path could not be one
        return open_artifact(parse_reference(reference).path, kinds, workspace=workspace)
    named = [] if os.path.lexists(reference) else _named(workspace, reference)
    if len(named) == 1:
        return open_artifact(named[0], kinds, workspace=workspace)
    if os.path.lexists(reference) or "/" in reference:
        return open_artifact(Path(reference), kinds, workspace=workspace)
    if len(reference) >= 4 and set(reference) <= set("0123456789abcdef"):
        matches = [a for a in artifacts(workspace) if a.id.startswith(reference)]
        if len(matches) == 1:
            return open_artifact(matches[0].path, kinds, workspace=workspace)
        if matches:
            raise ArtifactError(f"{len(matches)} artifacts in {workspace} begin with {reference}", "give more digits")
    raise ArtifactError(
        f"no artifact {reference!r} in {workspace}",
        "give a path, a name or the beginning of an id that `ifrkit artifacts ls` prints, or a kind",
    )


def _named(workspace: Path, name: str) -> list[Path]:
    """Artifacts whose directory has this name, with or without its kind in front."""
    return [path for path in directories(workspace) if name in (path.name, f"{path.parent.name}/{path.name}")]


def payload(directory: Path) -> Iterator[str]:
    """Every file of an artifact but its manifest, its list and its scratch: relative POSIX names in order."""
    names = walk(directory)
    return (name for name in names if name not in (FILE, LIST) and not name.startswith(f"{SCRATCH}/"))


def begin(target: Path, *, keep: bool = False) -> Path:
    """The partial directory of an output, with its scratch; a dead one is emptied first unless `keep`."""
    partial = partial_path(target)
    if partial.exists() and not keep:
        shutil.rmtree(partial)
    (partial / SCRATCH).mkdir(parents=True, exist_ok=True)
    (partial / FILE).unlink(missing_ok=True)
    return partial


def partial_path(target: Path) -> Path:
    """Where an output is made before it is committed."""
    return target.with_name(PARTIAL + target.name)


def has_state(partial: Path) -> bool:
    """Whether an interrupted run left something to go on from. Hidden files are temporaries."""
    scratch = partial / SCRATCH
    return scratch.is_dir() and any(not path.name.startswith(".") for path in scratch.iterdir())


def is_finished(partial: Path) -> bool:
    """Whether all work is done, and only the last renames are missing."""
    return (partial / FILE).is_file()


def commit(partial: Path, target: Path, manifest: Manifest, declared: tuple[str, ...] = ()) -> Artifact:
    """List the payload, flush it, write the manifest, rename; replaces what is at the target.

    declared: patterns of the payload's names (empty: all). Hidden files, and what else lies there, are removed.
    """
    if taken(target):
        raise ConfigError(f"{target} exists and is not an artifact", "name another --out; it is never overwritten")
    for name in payload(partial):
        if not is_declared(name, declared):
            (partial / name).unlink()
    size = 0

    def entries() -> Iterator[FileEntry]:
        nonlocal size
        for name in payload(partial):
            if not is_declared(name, declared):
                continue  # the list itself, which is not whole yet
            if (partial / name).is_symlink():
                raise ArtifactError(f"{partial / name} is a symlink; an artifact holds plain files only")
            found = entry(partial, name)
            size += found.size
            yield found

    listed = write_list(partial / LIST, entries())
    fsync_tree(partial)
    manifest = replace(manifest, size=size, files=(listed,))
    write_manifest(partial, manifest)
    put(partial, target)
    shutil.rmtree(target / SCRATCH, ignore_errors=True)
    return Artifact(target, manifest)


def is_declared(name: str, declared: tuple[str, ...]) -> bool:
    """Whether a file is payload, by its relative POSIX name. `*` in a pattern is any text; hidden files never are."""
    if any(part.startswith(".") for part in name.split("/")):
        return False
    return not declared or any(fnmatchcase(name, pattern) for pattern in declared)


def settle(target: Path) -> str:
    """Finish a commit that was cut off, under the lock of the target. Returns what was done in words, else "".

    A finished partial directory is put in its place if every file is sound, else an artifact that was being replaced is
    put back. What is in its place already loses its scratch.
    """
    if (target / FILE).is_file():
        shutil.rmtree(target / SCRATCH, ignore_errors=True)
        return ""
    partial, old = partial_path(target), _replaced(target)
    if is_finished(partial) and not taken(target):
        if _is_sound(partial):
            put(partial, target)
            shutil.rmtree(target / SCRATCH, ignore_errors=True)
            return "finished what an earlier run had made"
        (partial / FILE).unlink()
    if old is not None and not taken(target):
        old.rename(target)
        fsync_dir(target.parent)
        return "put back what a run was about to replace"
    return ""


def unsettled(target: Path) -> bool:
    """Whether `settle` would put something in place."""
    return not (target / FILE).is_file() and (is_finished(partial_path(target)) or _replaced(target) is not None)


def _is_sound(partial: Path) -> bool:
    with contextlib.suppress(ArtifactError):
        return next(Artifact(partial, read_manifest(partial)).problems(), None) is None
    return False


def _replaced(target: Path) -> Path | None:
    """The artifact that was set aside for a new one."""
    found = target.parent.glob(f"{SUPERSEDED}*") if target.parent.is_dir() else ()
    own = (path for path in found if path.name.removeprefix(SUPERSEDED).rpartition("-")[0] == target.name)
    return next((path for path in sorted(own) if (path / FILE).is_file()), None)
