"""Artifacts on disk: commit, open, find, replace, verify, lineage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ifrkit.artifacts import store
from ifrkit.artifacts.gc import collect
from ifrkit.artifacts.listing import LIST, entry
from ifrkit.artifacts.manifest import FILE, VERSION, InputRef, Manifest, make_id, plain, read_manifest, write_manifest
from ifrkit.artifacts.store import Artifact, open_artifact
from ifrkit.core.errors import ArtifactError


def _made(
    workspace: Path, kind: str, tag: str, inputs: list[Artifact] | None = None, files: dict[str, bytes] | None = None
) -> Artifact:
    id = make_id(kind, 1, {"tag": tag}, [a.id for a in inputs or []], "")
    target = workspace / kind / f"{tag}-{id[:12]}"
    partial = store.begin(target)
    for name, data in (files or {"a.txt": tag.encode()}).items():
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_bytes(data)
    (partial / store.SCRATCH / "state").write_text("gone after the commit")
    refs = tuple(InputRef(kind=a.kind, id=a.id, path=os.path.relpath(a.path, target)) for a in inputs or [])
    return store.commit(partial, target, Manifest(kind=kind, id=id, inputs=refs, created=f"2026-{len(tag):02}"))


def test_commit_lists_every_file_and_drops_the_scratch(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x", files={"a.txt": b"abc", "deep/er/b": b""})
    opened = open_artifact(made.path, ("clips",))
    assert {f.path: f.size for f in opened.entries()} == {"a.txt": 3, "deep/er/b": 0}
    assert opened.file("a.txt").read_bytes() == b"abc"
    assert [*opened.problems()] == []
    assert not list(tmp_path.rglob(store.SCRATCH))
    assert not list(tmp_path.rglob(".*"))


def test_without_manifest_there_is_no_artifact(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x")
    (made.path / FILE).unlink()
    with pytest.raises(ArtifactError, match="is not an artifact"):
        open_artifact(made.path)
    assert store.newest(tmp_path, ("clips",)) is None
    assert store.find(tmp_path, "clips", made.id) is None
    with pytest.raises(ArtifactError, match="no artifact at"):
        open_artifact(tmp_path / "nowhere")


def test_a_partial_directory_is_never_an_artifact(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x")
    partial = store.partial_path(made.path)
    made.path.rename(partial)  # killed between the manifest and the rename
    assert store.newest(tmp_path, ("clips",)) is None
    with pytest.raises(ArtifactError, match="not a finished artifact"):
        open_artifact(partial)


def test_unlisted_files_cannot_be_opened(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x")
    (made.path / "extra").write_text("?")
    with pytest.raises(ArtifactError, match="has no file 'extra'"):
        made.file("extra")
    assert store.check(made.path) == [f"{made.path / 'extra'}: not in the manifest"]


def test_sizes_are_always_checked_and_all_that_does_not_check_itself_by_checksum(tmp_path: Path) -> None:
    names = ("w.safetensors", "log.txt", "a.png", "rows.h5")
    made = _made(tmp_path, "branches", "x", files=dict.fromkeys(names, b"12345678"))
    for name in names:
        (made.path / name).write_bytes(b"1234X678")
    assert made.file("rows.h5")  # its reader checks every row
    for name in names[:3]:
        with pytest.raises(ArtifactError, match="sha256"):
            made.file(name)
    assert len([*made.problems()]) == 4
    assert [*made.problems(checksum=False)] == []
    (made.path / "log.txt").write_bytes(b"1234")
    with pytest.raises(ArtifactError, match="4 bytes, its manifest says 8"):
        open_artifact(made.path)
    (made.path / "log.txt").unlink()
    with pytest.raises(ArtifactError, match="missing"):
        open_artifact(made.path)


def test_symlinks_are_not_committed(tmp_path: Path) -> None:
    target = tmp_path / "clips" / "x-0"
    partial = store.begin(target)
    (partial / "link").symlink_to("/etc/hostname")
    with pytest.raises(ArtifactError, match="symlink"):
        store.commit(partial, target, Manifest(kind="clips", id="0" * 64))
    assert not target.exists()


def _relisted(directory: Path, **change: Any) -> None:
    """Change the first line of an artifact's list, and let its manifest say that this is right."""
    lines = (directory / LIST).read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | change)
    (directory / LIST).write_text("\n".join(lines) + "\n")
    tree = json.loads((directory / FILE).read_text())
    tree.pop("sha256", None)
    tree["files"] = [entry(directory, LIST).tree()]
    (directory / FILE).write_text(json.dumps(tree))


def _as_version_1(path: Path) -> None:
    """The same artifact as the first version wrote it: all its files in the manifest, and no list beside it."""
    tree = json.loads((path / FILE).read_text())
    del tree["sha256"], tree["size"]
    tree |= {"ifrkit": 1, "files": [json.loads(line) for line in (path / LIST).read_text().splitlines()]}
    (path / LIST).unlink()
    (path / FILE).write_text(json.dumps(tree))


def test_an_artifact_of_the_first_version_is_read_and_checked(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x", files={"a-b": b"abc", "a/c": b"d", "z": b""})
    listed = [*made.entries()]
    _as_version_1(made.path)
    opened = open_artifact(made.path)
    assert [*opened.entries()] == listed
    assert opened.manifest.size == made.manifest.size == 4
    assert store.check(made.path) == []
    (made.path / "a/c").write_bytes(b"e")
    assert [*opened.problems()] == [f"{made.path / 'a/c'}: the file is corrupt (its sha256 is not the recorded one)"]
    with pytest.raises(ArtifactError, match="sha256"):
        opened.file("a/c")


def test_a_first_manifest_of_other_things_is_corrupt(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x")
    _as_version_1(made.path)
    tree = json.loads((made.path / FILE).read_text())
    for files in (3, [3], [{}], [{"size": "x"}], {"a": 1}):
        (made.path / FILE).write_text(json.dumps(tree | {"files": files}))
        with pytest.raises(ArtifactError, match="corrupt"):
            read_manifest(made.path)


def test_a_list_of_files_is_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = ["a", "a-", "a.b/c", "a/b", "a/b0", "aa", "b/c/d", "b/c-d", "b0"]
    made = _made(tmp_path, "clips", "x", files=dict.fromkeys([n for n in names if n != "a"], b"x"))
    assert [each.path for each in made.entries()] == sorted(n for n in names if n != "a")
    for name in ("a0", "a/z", "b/c/0", "zz"):
        (made.path / name).write_bytes(b"")
    assert [*made.unlisted()] == ["a/z", "a0", "b/c/0", "zz"]
    (made.path / "aa").unlink()
    assert [*made.unlisted()] == ["a/z", "a0", "b/c/0", "zz"]


def test_a_damaged_list_is_told_by_all_that_reads_it(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x", files={"a.txt": b"a", "b.txt": b"b"})
    sound = (made.path / LIST).read_bytes()
    for damaged in (sound.replace(b"b.txt", b"c.txt"), sound[:-1], b"", None):
        (made.path / LIST).unlink()
        if damaged is not None:
            (made.path / LIST).write_bytes(damaged)
        for read in (lambda: open_artifact(made.path), lambda: made.file("a.txt"), lambda: made.has("a.txt")):
            with pytest.raises(ArtifactError, match=LIST):
                read()
        assert LIST in store.check(made.path)[0]


@pytest.mark.parametrize("line", ["", "3", "[" * 60_000, '{"path": "a"}', "x" * 100_000, "\\udcff"])
def test_a_list_that_a_stranger_wrote(tmp_path: Path, line: str) -> None:
    made = _made(tmp_path, "clips", "x")
    _relisted(made.path)
    (made.path / LIST).write_text(f"{line}\n")
    tree = json.loads((made.path / FILE).read_text())
    (made.path / FILE).write_text(json.dumps(tree | {"files": [entry(made.path, LIST).tree()]}))
    with pytest.raises(ArtifactError, match=f"{LIST} is corrupt"):
        open_artifact(made.path)


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    made = _made(tmp_path, "clips", "x")
    for path in ("../../secret", str(tmp_path / "secret"), "a/../../../secret"):
        _relisted(made.path, path=path, size=1)
        with pytest.raises(ArtifactError, match="leaves its artifact"):
            open_artifact(made.path)
        assert "leaves its artifact" in store.check(made.path)[0]


def test_a_flipped_bit_anywhere_in_a_manifest_is_noticed(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x", [_made(tmp_path, "flow", "f")])
    sound = (made.path / FILE).read_bytes()
    noticed = 0
    for place in range(len(sound)):
        (made.path / FILE).write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        try:
            assert read_manifest(made.path) == made.manifest  # a space became another
        except ArtifactError:
            noticed += 1
    assert noticed > len(sound) * 3 / 4


def test_a_manifest_without_its_own_checksum_is_read(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x")
    tree = json.loads((made.path / FILE).read_text())
    assert len(tree.pop("sha256")) == 64
    (made.path / FILE).write_text(json.dumps(tree))
    assert read_manifest(made.path) == made.manifest


def test_newest_find_and_resolve(tmp_path: Path) -> None:
    old, new = _made(tmp_path, "clips", "x"), _made(tmp_path, "clips", "yy")
    other = _made(tmp_path, "flow", "zzz")
    assert store.newest(tmp_path, ("clips",)) == new
    assert store.newest(tmp_path, ("clips", "flow")) == other
    assert store.find(tmp_path, "clips", old.id) == old
    assert store.find(tmp_path, "clips", other.id) is None
    for reference in (str(old.path), old.id, old.id[:6]):
        assert store.resolve(tmp_path, reference) == old
    assert store.resolve(tmp_path, "clips") == new
    for reference in ("video-model", "ffffffffffff", "abc", "no such thing", str(tmp_path)):
        with pytest.raises(ArtifactError):
            store.resolve(tmp_path, reference)
    with pytest.raises(ArtifactError, match="needed is branches or video-model"):
        open_artifact(old.path, ("branches", "video-model"))


def test_a_corrupt_neighbour_does_not_hide_the_others(tmp_path: Path) -> None:
    good, bad = _made(tmp_path, "clips", "x"), _made(tmp_path, "clips", "yy")
    (bad.path / FILE).write_text("{")
    assert [a.id for a in store.artifacts(tmp_path)] == [good.id]
    assert store.directories(tmp_path) == sorted([good.path, bad.path])
    assert store.check(good.path) == []
    assert "corrupt" in store.check(bad.path)[0]


def test_ancestor_is_the_nearest_and_ends(tmp_path: Path) -> None:
    clips = _made(tmp_path, "clips", "c")
    branches = _made(tmp_path, "branches", "b", [clips])
    flow = _made(tmp_path, "flow", "f", [clips])
    model = _made(tmp_path, "video-model", "m", [branches, flow])
    assert model.ancestor("video-model") == model
    assert model.ancestor("clips") == clips
    assert model.ancestor("flow") == flow
    assert model.ancestor("report") is None


def test_lineage_by_path_then_by_id(tmp_path: Path) -> None:
    clips = _made(tmp_path / "one", "clips", "c")
    branches = _made(tmp_path / "two", "branches", "b", [clips])
    assert branches.manifest.inputs[0].path.startswith("..")
    assert branches.ancestor("clips") == clips
    (tmp_path / "one").rename(tmp_path / "three")
    with pytest.raises(ArtifactError, match="which is gone"):
        branches.inputs()
    found = open_artifact(branches.path, workspace=tmp_path / "three").ancestor("clips")
    assert found is not None
    assert found.id == clips.id
    # Another artifact in the old place is not taken for the input.
    other = _made(tmp_path / "one", "clips", "other")
    other.path.rename(clips.path)
    with pytest.raises(ArtifactError, match="which is gone"):
        branches.inputs()


def test_a_workspace_can_be_moved_as_a_whole(tmp_path: Path) -> None:
    branches = _made(tmp_path / "here", "branches", "b", [_made(tmp_path / "here", "clips", "c")])
    (tmp_path / "here").rename(tmp_path / "there")
    moved = open_artifact(tmp_path / "there" / branches.path.relative_to(tmp_path / "here"))
    assert moved.ancestor("clips") is not None


def test_gc_removes_leftovers_only(tmp_path: Path) -> None:
    kept = _made(tmp_path, "clips", "x")
    dead = store.begin(kept.path.with_name("dead-0"))
    resumable = store.begin(kept.path.with_name("resumable-0"))
    (resumable / store.SCRATCH / "state").write_text("s")
    superseded = kept.path.with_name(f"{store.SUPERSEDED}{kept.path.name}-77")
    superseded.mkdir()
    listed = {i.path: (i.garbage, i.removed) for i in collect(tmp_path, remove=False)}
    assert listed == {dead: (True, False), resumable: (False, False), superseded: (True, False)}
    collect(tmp_path)
    assert sorted(kept.path.parent.iterdir()) == sorted([kept.path, resumable])
    collect(tmp_path, interrupted=True)
    assert list(kept.path.parent.iterdir()) == [kept.path]


def test_ids_depend_on_everything_and_on_no_order() -> None:
    base: list[Any] = ["clips", 1, {"a": 1, "b": [1.5, None]}, ["x", "y"], "source"]
    id = make_id(*base)
    assert make_id("clips", 1, {"b": [1.5, None], "a": 1}, ["y", "x"], "source") == id
    changes: list[Any] = ["flow", 2, {"a": 2, "b": [1.5, None]}, ["x"], "other"]
    for position, value in enumerate(changes):
        assert make_id(*[*base[:position], value, *base[position + 1 :]]) != id


def test_newer_schemas_are_refused_with_clear_text(tmp_path: Path) -> None:
    made = _made(tmp_path, "clips", "x")
    tree = json.loads((made.path / FILE).read_text())
    del tree["sha256"]
    for change, text in (
        (
            {"ifrkit": VERSION + 1},
            f"manifest version is {VERSION + 1}, this ifrkit reads up to {VERSION}; upgrade ifrkit",
        ),
        ({"schema_version": 99}, "schema of clips is 99, this ifrkit reads up to 1; upgrade ifrkit"),
    ):
        (made.path / FILE).write_text(
            json.dumps({**tree, **change, "unknown_to_us": 1} if "ifrkit" in change else tree | change)
        )
        with pytest.raises(ArtifactError, match=text):
            open_artifact(made.path)


def test_migrations_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _made(tmp_path, "clips", "x")
    from ifrkit.artifacts import manifest

    def add_stage(tree: dict[str, Any]) -> dict[str, Any]:
        return tree | {"stage": "one"}

    def lengthen_stage(tree: dict[str, Any]) -> dict[str, Any]:
        return tree | {"stage": tree["stage"] + " two"}

    last = manifest.VERSION
    monkeypatch.setattr(manifest, "MIGRATIONS", (*manifest.MIGRATIONS, add_stage, lengthen_stage))
    monkeypatch.setattr(manifest, "VERSION", last + 2)
    assert read_manifest(made.path).stage == "one two"


def test_plain_makes_json_of_numbers_of_any_library(tmp_path: Path) -> None:
    import numpy as np

    tree = {"a": np.float32(0.5), "b": np.arange(2), 3: float("nan"), "d": (Path("x"), True, None), "e": float("inf")}
    assert plain(tree) == {"a": 0.5, "b": [0, 1], "3": None, "d": ["x", True, None], "e": None}
    write_manifest(tmp_path, Manifest(kind="report", id="0" * 64, metrics=plain(tree)))
    assert read_manifest(tmp_path).metrics["b"] == [0, 1]
