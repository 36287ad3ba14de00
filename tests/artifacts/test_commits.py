"""A commit that is cut off anywhere: the next run, or gc, finishes it or puts the old artifact back."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import toystages

from ifrkit.artifacts import place, store
from ifrkit.artifacts.gc import collect
from ifrkit.artifacts.listing import LIST
from ifrkit.artifacts.manifest import FILE, Manifest
from ifrkit.artifacts.notes import changed, checksums, read_note, write_note
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError, ResourceError
from ifrkit.core.stage import Stage, stages
from ifrkit.models.weights import save_weights
from ifrkit.stages.runner import Run, execute


def _commit(target: Path, text: str, declared: tuple[str, ...] = (), sequence: int = 0, created: str = "") -> Artifact:
    partial = store.begin(target)
    (partial / "a.txt").write_text(text)
    (partial / store.SCRATCH / "state").write_text("kept until the rename")
    manifest = Manifest(kind="clips", id=target.name[-1] * 64, sequence=sequence, created=created)
    return store.commit(partial, target, manifest, declared)


def _finished(target: Path, text: str) -> Path:
    """A partial directory that lacks only its last rename."""
    partial = _commit(target, text).path.rename(store.partial_path(target))
    (partial / store.SCRATCH).mkdir()
    (partial / store.SCRATCH / "state").write_text("s")
    return partial


@pytest.mark.parametrize("by", ["settle", "gc"])
def test_a_finished_run_is_put_in_its_place(tmp_path: Path, by: str) -> None:
    target = tmp_path / "clips" / "x-0"
    partial = _finished(target, "new")
    assert [item.garbage for item in collect(tmp_path, remove=False)] == [False]
    assert partial.is_dir()
    if by == "settle":
        assert store.settle(target)
    else:
        assert [item.restored for item in collect(tmp_path)] == [True]
    assert store.open_artifact(target).file("a.txt").read_text() == "new"
    assert sorted(path.name for path in target.iterdir()) == ["a.txt", LIST, FILE]
    assert [path.name for path in target.parent.iterdir()] == ["x-0"]


@pytest.mark.parametrize("by", ["settle", "gc"])
def test_an_artifact_that_was_set_aside_is_put_back(tmp_path: Path, by: str) -> None:
    target = tmp_path / "clips" / "x-0"
    _commit(target, "old").path.rename(target.with_name(f"{store.SUPERSEDED}x-0-123"))
    assert store.unsettled(target)
    if by == "settle":
        assert store.settle(target)
    else:
        assert [item.restored for item in collect(tmp_path)] == [True]
    assert store.open_artifact(target).file("a.txt").read_text() == "old"
    assert store.settle(target) == ""


def test_a_finished_run_that_is_damaged_is_not_put_in_place(tmp_path: Path) -> None:
    target = tmp_path / "clips" / "x-0"
    partial = _finished(target, "new")
    (partial / "a.txt").write_text("nEw")
    assert store.settle(target) == ""
    assert not target.exists()
    assert store.has_state(partial)
    assert not store.is_finished(partial)


def test_scratch_in_an_artifact_is_no_fault_and_goes(tmp_path: Path) -> None:
    target = tmp_path / "clips" / "x-0"
    _commit(target, "new")
    (target / store.SCRATCH).mkdir()
    (target / store.SCRATCH / "state").write_text("s")
    assert store.check(target) == []
    assert [item.removed for item in collect(tmp_path)] == [True]
    assert store.check(target) == []
    assert not (target / store.SCRATCH).exists()


@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_replaced_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    if not at_once:  # as on a file system that cannot
        monkeypatch.setattr(place, "_exchange", lambda first, second: False)
    target = tmp_path / "clips" / "x-0"
    _commit(target, "old")
    _commit(target, "new")
    assert store.open_artifact(target).file("a.txt").read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["x-0"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_rename_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    target = tmp_path / "clips" / "x-0"
    _commit(target, "old")
    real = Path.rename

    def rename(self: Path, to: Path) -> Path:
        if self.name.startswith(store.PARTIAL):
            raise OSError(errno.EIO, "no")
        return real(self, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        if not at_once:
            patch.setattr(place, "_exchange", lambda first, second: False)
        with pytest.raises(OSError, match="no"):
            _commit(target, "new")
    assert store.open_artifact(target).file("a.txt").read_text() == ("new" if at_once else "old")
    collect(tmp_path)
    assert store.open_artifact(target).file("a.txt").read_text() == ("new" if at_once else "old")


def test_only_what_is_declared_is_payload(tmp_path: Path) -> None:
    target = tmp_path / "clips" / "x-0"
    for declared, kept in (((), {"a.txt", "b.png"}), (("*.txt",), {"a.txt"}), (("*",), {"a.txt", "b.png"})):
        partial = store.begin(target)
        for name in ("a.txt", "b.png", ".tmpXYZ", ".a.txt.partial"):
            (partial / name).write_text("x")
        store.commit(partial, target, Manifest(kind="clips", id="0" * 64), declared)
        assert {path.name for path in target.iterdir()} == kept | {LIST, FILE}


def peak(directory: Path, count: int) -> int:
    """Bytes at the highest, while an artifact of so many files is committed, checked and read."""
    target = directory / "predictions" / f"{count}-0"
    partial = store.begin(target)
    (partial / "labels").mkdir()
    for number in range(count):
        (partial / "labels" / f"{number:06}.png").touch()
    tracemalloc.start()
    store.commit(partial, target, Manifest(kind="predictions", id="0" * 64))
    assert store.check(target) == []
    assert store.open_artifact(target).file(f"labels/{count - 1:06}.png")
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest


def test_many_files_take_little_memory(tmp_path: Path) -> None:
    """What a file more costs at the highest, in bytes: its name, while its directory is listed.

    In a process of its own, since threads that another test has left would count.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        few, many = (pool.submit(peak, tmp_path, count).result() for count in (500, 2500))
    assert (many - few) / 2000 < 100


def test_every_stage_declares_its_payload() -> None:
    assert not [stage.name for stage in stages() if not stage.payload]


def test_the_newest_is_told_by_sequence_not_by_the_clock(tmp_path: Path) -> None:
    old = _commit(tmp_path / "clips" / "x-0", "x", sequence=7, created="2030-01-01T00:00:00.000000+00:00")
    new = _commit(tmp_path / "clips" / "y-1", "y", sequence=8, created="2026-01-01T00:00:00.000000+00:00")
    assert store.newest(tmp_path, ("clips",)) == new
    assert list(store.artifacts(tmp_path)) == [old, new]
    assert store.next_sequence(tmp_path) == 9


def test_runs_count_up_whatever_the_clock_says(tmp_path: Path) -> None:
    made = [execute(toystages.SOURCE, toystages.SourceConfig(size=n), Run(tmp_path, [])) for n in (1, 2, 3)]
    assert [artifact.manifest.sequence for artifact in made] == [1, 2, 3]


def _train(workspace: Path, **how: bool) -> Artifact:
    clips = execute(toystages.SOURCE, toystages.SourceConfig(), Run(workspace, []))
    return execute(toystages.TRAIN, toystages.TrainConfig(steps=3), Run(workspace, [clips], **how))


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_state_stays_when_the_manifest_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    execute(toystages.SOURCE, toystages.SourceConfig(), Run(tmp_path, []))

    def refuse(*args: object) -> None:
        raise OSError(fault, os.strerror(fault), "m")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_manifest", refuse)
        with pytest.raises(ResourceError, match=r"^m: "):
            _train(tmp_path)
    (partial,) = (tmp_path / "branches").glob(".partial-*")
    assert (partial / "scratch/progress.json").exists()
    assert _train(tmp_path, resume=True).manifest.metrics["sum"] == 3


def test_a_run_killed_before_the_rename_is_finished_without_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object) -> None:
        raise KeyboardInterrupt

    execute(toystages.SOURCE, toystages.SourceConfig(), Run(tmp_path, []))
    with monkeypatch.context() as patch:
        patch.setattr(store, "put", die)
        with pytest.raises(KeyboardInterrupt):
            _train(tmp_path)
    monkeypatch.setattr(Stage, "start", die)  # nothing is left to do
    done = _train(tmp_path)  # without --resume: there is nothing to decide
    assert done.manifest.metrics["sum"] == 3
    assert store.check(done.path) == []


def test_gc_beside_a_run_that_writes(tmp_path: Path) -> None:
    scratch = tmp_path / "clips" / ".partial-x-0" / "scratch"
    scratch.mkdir(parents=True)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            (scratch / "a").write_text("1")
            (scratch / "a").rename(scratch / "b")
            (scratch / "b").unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(300):
            collect(tmp_path, remove=False)
    finally:
        stop.set()
        thread.join()


def test_notes_are_checked(tmp_path: Path) -> None:
    note = tmp_path / "n.json"
    write_note(note, {"why": "x", "step": 3})
    assert list(read_note(note)) == ["why", "step"]  # what is made of it is the same after a restart
    assert read_note(note) == {"step": 3, "why": "x"}
    whole = note.read_bytes()
    wrong = 0
    for spot in range(len(whole)):
        note.write_bytes(whole[:spot] + bytes([whole[spot] ^ 1]) + whole[spot + 1 :])
        try:
            assert read_note(note) == {"step": 3, "why": "x"}  # a space became another
        except ArtifactError:
            wrong += 1
    assert wrong > len(whole) * 3 / 4
    for data in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000):
        note.write_bytes(data)
        with pytest.raises(ArtifactError, match=r"n\.json is not .*; start again with --force"):
            read_note(note)
    note.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        read_note(note)


def test_finished_files_are_known_by_their_sum(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    sums = checksums(tmp_path / "a")
    assert changed(tmp_path, sums) is None
    (tmp_path / "a").write_text("2")
    assert changed(tmp_path, sums) == tmp_path / "a"
    (tmp_path / "a").unlink()
    assert changed(tmp_path, sums) == tmp_path / "a"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_keep_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        save_weights(tmp_path / "w.safetensors", {})
        made = execute(toystages.SOURCE, toystages.SourceConfig(), Run(tmp_path, []))
    finally:
        os.umask(before)
    for path in (tmp_path / "w.safetensors", *(p for p in made.path.rglob("*") if p.is_file())):
        assert path.stat().st_mode & 0o777 == mode, path
