"""Artifacts that a stranger made: every command ends soon, with one line where something is wrong."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ifrkit.artifacts import store
from ifrkit.artifacts.locks import is_locked, lock_path
from ifrkit.artifacts.manifest import FILE, SEAL, canonical
from ifrkit.cli import artifacts as commands
from ifrkit.core.errors import ArtifactError


def _id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _manifest(workspace: Path, name: str, **more: Any) -> Path:
    path = workspace / "clips" / name
    path.mkdir(parents=True)
    (path / FILE).write_text(json.dumps({"ifrkit": 1, "kind": "clips", "id": _id(name), **more}))
    return path


def _input(name: str) -> dict[str, str]:
    return {"kind": "clips", "id": _id(name), "path": f"../{name}"}


def _said(*words: str) -> str:
    return CliRunner().invoke(commands.command, [*words], catch_exceptions=False).output


@pytest.mark.parametrize("what", ["pipe", "device", "directory", "ring of links"])
def test_a_manifest_that_is_not_a_file(tmp_path: Path, what: str) -> None:
    path = _manifest(tmp_path, "good").with_name("bad") / FILE
    path.parent.mkdir()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to(path.name)
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        store.open_artifact(path.parent)
    assert [artifact.path.name for artifact in store.artifacts(tmp_path)] == ["good"]
    assert "good" in _said("ls", "--workspace", str(tmp_path))


def test_a_lock_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(lock_path(tmp_path / "x"))
    assert not is_locked(tmp_path / "x")


@pytest.mark.parametrize("depth", [100, 900, 100_000])
@pytest.mark.parametrize("seal", [False, True])
def test_deep_manifests(tmp_path: Path, depth: int, seal: bool) -> None:
    path = _manifest(tmp_path, "deep")
    head = json.dumps({"ifrkit": 1, "kind": "clips", "id": "a" * 64} | ({SEAL: "x"} if seal else {}))
    (path / FILE).write_text(f'{head[:-1]}, "config": {{"a": {"[" * depth + "]" * depth}}}}}')
    assert "nested too deeply" in store.check(path)[0]


def test_a_large_manifest_is_not_read(tmp_path: Path) -> None:
    path = _manifest(tmp_path, "large") / FILE
    os.truncate(path, 1 << 40)  # takes no room
    with pytest.raises(ArtifactError, match="larger than"):
        store.open_artifact(path.parent)


def test_a_lineage_with_rings_and_ladders(tmp_path: Path) -> None:
    _manifest(tmp_path, "self", inputs=[_input("self")])
    _manifest(tmp_path, "a", inputs=[_input("b")])
    _manifest(tmp_path, "b", inputs=[_input("a")])
    for step in range(40):  # a way to the end of every choice would be 2 ** 40 long
        _manifest(tmp_path, f"step{step}", inputs=[_input(f"step{step + 1}")] * 2 if step < 39 else [])
    for name, lines in (("self", 2), ("a", 3), ("step0", 79)):
        path = tmp_path / "clips" / name
        assert len(_said("lineage", str(path), "--workspace", str(tmp_path)).splitlines()) == lines
        tree = json.loads(_said("lineage", str(path), "--workspace", str(tmp_path), "--json"))
        assert tree["id"] == _id(name)
        assert store.open_artifact(path).ancestor("flow") is None


def test_a_lineage_longer_than_python_can_nest(tmp_path: Path) -> None:
    for step in range(1500):
        _manifest(tmp_path, f"step{step}", inputs=[_input(f"step{step + 1}")] if step < 1499 else [])
    first = tmp_path / "clips" / "step0"
    assert len(_said("lineage", str(first), "--workspace", str(tmp_path)).splitlines()) == 1500
    with pytest.raises(ArtifactError, match="deeper than"):
        _said("lineage", str(first), "--workspace", str(tmp_path), "--json")
    assert store.open_artifact(first).ancestor("flow") is None


def test_a_seal_holds_for_what_it_was_made_for(tmp_path: Path) -> None:
    path = _manifest(tmp_path, "x") / FILE
    tree = json.loads(path.read_text())
    path.write_text(json.dumps(tree | {SEAL: hashlib.sha256(canonical(tree)).hexdigest()}))
    assert store.open_artifact(path.parent).id == _id("x")
    path.write_text(path.read_text().replace('"ifrkit": 1', '"ifrkit": 1, "seed": 2'))
    with pytest.raises(ArtifactError, match="sha256 is not that of the rest"):
        store.open_artifact(path.parent)
