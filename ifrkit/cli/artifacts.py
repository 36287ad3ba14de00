"""`ifrkit artifacts`: look at what the stages made. Prints to standard output."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ifrkit.cli import completion, say
from ifrkit.cli.options import SETTINGS, WORKSPACE
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.core.stage import kinds
from ifrkit.core.text import safe

if TYPE_CHECKING:
    from ifrkit.artifacts import about, store
    from ifrkit.artifacts import gc as garbage
    from ifrkit.core import plugins
else:
    about, store = lazy("ifrkit.artifacts.about"), lazy("ifrkit.artifacts.store")
    garbage = lazy("ifrkit.artifacts.gc")
    plugins = lazy("ifrkit.core.plugins")

DEEPEST = 100
"""Levels of a lineage in JSON: far more than there are stages."""

_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
_VERBOSE = click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, help="Tracebacks for every error.")


def _command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A subcommand with the options that all of them have."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        sub = command.command(name, context_settings=SETTINGS)(function)
        sub.params += [WORKSPACE, _JSON, _VERBOSE]
        return sub

    return decorate


@click.group("artifacts", context_settings=SETTINGS)
def command() -> None:
    """List, show, verify and clean up what the stages made.

    REF is a path, a kind (its newest artifact), or what `ls` prints: the name of a directory, the beginning of an id.

    \b
    Examples:
      ifrkit artifacts ls
      ifrkit artifacts show branches
      ifrkit artifacts verify            # every file of every artifact
      ifrkit artifacts gc --dry-run
    """


@_command("ls")
@click.argument("kind", required=False, shell_complete=completion.references)
def ls(kind: str | None, workspace: Path, as_json: bool) -> None:
    """List artifacts, oldest first: kind, id, dataset and its root, size, age, path. KIND limits it to one kind.

    \b
    Examples:
      ifrkit artifacts ls
      ifrkit artifacts ls branches --json
    """
    if kind is not None and kind not in kinds() and not (workspace / kind).is_dir():
        raise ConfigError(f"no kind of artifact named {kind!r}", plugins.nearest(kind, kinds()))
    found = list(store.artifacts(workspace, kind))
    if as_json:
        say.line(json.dumps([_summary(a) for a in found]))
        return
    lines = [
        [safe(text) for text in (a.kind, a.id[:12], about.data(a) or "-", *_size_and_age(a), str(a.path))]
        for a in found
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say.line("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


@_command("show")
@click.argument("ref", shell_complete=completion.references)
def show(ref: str, workspace: Path, as_json: bool) -> None:
    """Show what REF is and how it was made: inputs, config with origins, command, metrics, files.

    \b
    Examples:
      ifrkit artifacts show report
      ifrkit artifacts show video-model --json
    """
    artifact = store.resolve(workspace, ref)
    tree = {"path": str(artifact.path.resolve()), **artifact.manifest.tree()}
    if as_json:
        tree["files"] = [entry.tree() for entry in artifact.entries()]
        say.line(json.dumps(tree))
        return
    for key in ("path", "kind", "schema_version", "id", "stage", "created", "seed"):
        say.line(f"{key}: {tree[key]}")
    say.line(f"about: {about.about(artifact)}")
    say.line(f"command: {' '.join(tree['command'])}")
    for section in ("environment", "config", "origins", "metrics"):
        say.line(f"{section}:")
        for key, value in tree[section].items():
            say.line(f"  {key}: {value if isinstance(value, str) else json.dumps(value)}")
    say.line("inputs:")
    for entry in tree["inputs"]:
        say.line(f"  {entry['kind']} {entry['id'][:12]} {entry['path']}")
    say.line("files:")
    for file in artifact.entries():
        say.line(f"  {file.path}  {about.in_bytes(file.size)}  sha256 {file.sha256}")


@_command("verify")
@click.argument("ref", required=False, shell_complete=completion.references)
def verify(ref: str | None, workspace: Path, as_json: bool) -> int:
    """Check size and sha256 of every file of REF, or of all artifacts. Exit 3 if anything is wrong.

    \b
    Examples:
      ifrkit artifacts verify
      ifrkit artifacts verify clips
    """
    if ref is None:
        if not workspace.is_dir():
            raise ArtifactError(f"no workspace at {workspace}", "name another --workspace")
        checked = {path: store.check(path) for path in store.directories(workspace)}
    else:
        path = Path(ref) if os.path.exists(ref) else store.resolve(workspace, ref).path
        checked = {path: store.check(path)}
    if as_json:
        say.line(json.dumps([{"path": str(p.resolve()), "problems": problems} for p, problems in checked.items()]))
    else:
        for path, problems in checked.items():
            for line in problems or [f"ok: {about.named(store.open_artifact(path, workspace=workspace))}"]:
                say.line(line)
    return ArtifactError.exit_code if any(checked.values()) else 0


@_command("lineage")
@click.argument("ref", shell_complete=completion.references)
def lineage(ref: str, workspace: Path, as_json: bool) -> None:
    """Show what REF was made from, back to the data.

    \b
    Examples:
      ifrkit artifacts lineage report
      ifrkit artifacts lineage video-model --json
    """
    artifact = store.resolve(workspace, ref)
    found = _lineage(artifact)
    if as_json:
        say.line(json.dumps(_tree(found, artifact.id)))
        return
    for depth, each, again in _walk(found, artifact.id):
        more = "  (see above)" if again and each["inputs"] else ""
        where = f"{each['path']} ({each['about']})" if each["path"] else "gone"
        say.line("  " * depth + f"{each['kind']} {each['id'][:12]}  {where}{more}")


@_command("gc")
@click.option("-n", "--dry-run", "dry_run", is_flag=True, help="Only list what would be removed.")
@click.option("--interrupted", is_flag=True, help="Also runs that --resume could still continue.")
def gc(dry_run: bool, interrupted: bool, workspace: Path, as_json: bool) -> None:
    """Remove dead partial directories and leftovers of replaced artifacts. Never an artifact, never a running one.

    An artifact whose last rename a crash cut off is put in its place.

    \b
    Examples:
      ifrkit artifacts gc --dry-run
      ifrkit artifacts gc --interrupted
    """
    items = garbage.collect(workspace, interrupted=interrupted, remove=not dry_run)
    if as_json:
        say.line(
            json.dumps(
                [
                    {"path": str(i.path), "bytes": i.size, "why": i.why, "removed": i.removed, "restored": i.restored}
                    for i in items
                ]
            )
        )
        return
    for item in items:
        done = ("would remove" if dry_run else "removed") if item.garbage else "restored" if item.restored else "kept"
        say.line(f"{done}: {item.path} ({about.in_bytes(item.size)}, {item.why})")


def _size_and_age(artifact: store.Artifact) -> tuple[str, str]:
    return about.in_bytes(artifact.manifest.size), about.age(artifact) or "-"


def _summary(artifact: store.Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    known = {
        "kind": manifest.kind,
        "id": manifest.id,
        "path": str(artifact.path.resolve()),
        "created": manifest.created,
    }
    dataset, root = [*about.origin(artifact), None, None][:2]
    facts = {"dataset": dataset, "root": root, "bytes": artifact.manifest.size}
    return {**known, **facts, "metrics": manifest.metrics}


def _lineage(start: store.Artifact) -> dict[str, dict[str, Any]]:
    """What the artifact was made from, by id, each once: many ways may lead to it, and manifests may claim rings."""
    found: dict[str, dict[str, Any]] = {}
    waiting = [start]
    while waiting:
        artifact = waiting.pop()
        if artifact.id in found:
            continue
        known = {"kind": artifact.kind, "id": artifact.id, "path": str(artifact.path.resolve())}
        found[artifact.id] = {**known, "stage": artifact.manifest.stage, "about": about.about(artifact), "inputs": []}
        for ref in artifact.manifest.inputs:
            found[artifact.id]["inputs"].append(ref.id)
            try:
                waiting.append(artifact.input(ref))
            except ArtifactError as error:
                gone: dict[str, Any] = {
                    "kind": ref.kind,
                    "id": ref.id,
                    "path": None,
                    "problem": str(error),
                    "inputs": [],
                }
                found.setdefault(ref.id, gone)
    return found


def _walk(found: dict[str, dict[str, Any]], id: str) -> Iterator[tuple[int, dict[str, Any], bool]]:
    """(depth, artifact, whether its inputs were told before) in the order of a tree."""
    told: set[str] = set()
    waiting = [(0, id)]
    while waiting:
        depth, id = waiting.pop()
        again = id in told
        yield depth, found[id], again
        told.add(id)
        if not again:
            waiting += [(depth + 1, ref) for ref in reversed(found[id]["inputs"])]


def _tree(found: dict[str, dict[str, Any]], id: str) -> dict[str, Any]:
    """The same as nested objects; one that was told before has no inputs again."""
    top: dict[str, Any] = {"inputs": []}
    path = [top]
    for depth, artifact, again in _walk(found, id):
        if depth > DEEPEST:
            raise ArtifactError(f"the lineage of {id[:12]} is deeper than {DEEPEST} artifacts", "leave out --json")
        own = {**artifact, "inputs": []} | ({"again": True} if again and artifact["inputs"] else {})
        path[depth]["inputs"].append(own)
        path[depth + 1 :] = [own]
    tree: dict[str, Any] = top["inputs"][0]
    return tree
