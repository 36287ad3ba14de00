"""The line on standard output, paths that stay inside, atomic files and locks."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifrkit.artifacts.atomic import safe_join, write_atomic
from ifrkit.artifacts.listing import FileEntry
from ifrkit.artifacts.locks import is_locked, lock_path, locked
from ifrkit.artifacts.manifest import InputRef, Manifest, read_manifest, write_manifest
from ifrkit.artifacts.reference import Reference, format_reference, parse_reference
from ifrkit.core.errors import ArtifactError, LockedError, ResourceError
from ifrkit.core.faults import resource_errors

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)


@settings(max_examples=60, deadline=None)
@given(TEXT, TEXT, TEXT, st.booleans())
def test_reference_round_trip(name: str, kind: str, id: str, as_json: bool) -> None:
    path = Path("/ws") / name.lstrip("/")
    line = format_reference(path, kind, id, as_json=as_json)
    assert "\n" not in line
    parsed = parse_reference(line + "\n")
    assert parsed.path == path
    assert parsed in (Reference(path), Reference(path, kind, id))


@pytest.mark.parametrize("line", ["", "\n", " ", "{", "{}", '{"ifrkit": 2, "path": "x"}', '{"ifrkit": 1}', "{" * 5000])
def test_bad_references_are_refused(line: str) -> None:
    with pytest.raises(ArtifactError):
        parse_reference(line)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Manifest,
        kind=TEXT,
        id=HEX,
        inputs=st.lists(st.builds(InputRef, kind=TEXT, id=HEX, path=TEXT), max_size=2).map(tuple),
        config=st.dictionaries(TEXT, PLAIN, max_size=3),
        metrics=st.dictionaries(TEXT, PLAIN, max_size=3),
        files=st.lists(st.builds(FileEntry, path=TEXT, size=st.integers(0, 2**60), sha256=HEX), max_size=3).map(tuple),
    )
)
def test_manifest_round_trip(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> None:
    directory = tmp_path_factory.getbasetemp() / "manifest"
    directory.mkdir(exist_ok=True)
    write_manifest(directory, manifest)
    assert read_manifest(directory) == manifest


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "link", "/", "out"]), min_size=1, max_size=6))
def test_safe_join_never_leaves(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    root = tmp_path_factory.getbasetemp() / "join" / "root"
    if not root.exists():
        (root / "a").mkdir(parents=True)
        (root / "link").symlink_to("..")
        (root / "out").symlink_to("/")
    name = "/".join(parts)
    try:
        path = safe_join(root, name)
    except ArtifactError:
        return
    assert Path(os.path.realpath(path)).is_relative_to(root)
    assert ".." not in path.relative_to(root).parts


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/etc/passwd", "a/../../x", "link/x", "a\\b", "a\0b", "loop/x", "n" * 999, "\ud800"]
)
def test_safe_join_refuses(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/tmp")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ArtifactError, match="leaves its artifact"):
        safe_join(tmp_path, name)


@pytest.mark.parametrize("name", ["a", "a/b", "..a", "a..b/c", "x.safetensors"])
def test_safe_join_accepts(tmp_path: Path, name: str) -> None:
    assert safe_join(tmp_path, name) == tmp_path / name


def test_write_atomic_replaces_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"newer")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("Can't write data (file write failed: time = now, errno = 28, error message = 'No space left')"),
        RuntimeError("Can't decrement id ref count (file write failed: errno = 27, error message = 'File too large')"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("unable to mmap 1000 bytes from file </torch_1>: Cannot allocate memory (12)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
    ],
)
def test_a_full_disk_and_no_memory_are_resource_errors(error: Exception) -> None:
    with pytest.raises(ResourceError, match=r"^the output: "), resource_errors("the output"):
        raise error


def test_a_loading_process_that_was_ended_is_not_called_short_of_memory() -> None:
    ended = RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")
    with pytest.raises(ResourceError) as caught, resource_errors("the output"):
        raise ended
    assert caught.value.message == "the output: one of its processes was ended by a signal (Terminated)"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENOENT, errno.ESTALE])
@pytest.mark.parametrize("path", [None, "/some/where"])
def test_what_the_system_refuses_names_the_path_and_a_remedy(number: int, path: str | None) -> None:
    with pytest.raises(ResourceError) as caught, resource_errors("the output"):
        raise OSError(number, "no", path)
    assert caught.value.message == f"{path or 'the output'}: {os.strerror(number)}"
    assert caught.value.remedy


@pytest.mark.parametrize("error", [OSError("no number"), RuntimeError("shape mismatch"), ValueError("x")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)), resource_errors("the output"):
        raise error


def test_lock_excludes_and_goes_away(tmp_path: Path) -> None:
    target = tmp_path / "x-0"
    with locked(target):
        assert is_locked(target)
        with pytest.raises(LockedError, match=f"process {os.getpid()}"), locked(target):
            pass
        with locked(tmp_path / "y-0"):
            pass
    assert not is_locked(target)
    assert not list(tmp_path.iterdir())


def test_a_stale_lock_file_locks_nothing(tmp_path: Path) -> None:
    lock_path(tmp_path / "x").write_text("999999\n")
    assert not is_locked(tmp_path / "x")
    with locked(tmp_path / "x"):
        pass


def _in_child(action: Any) -> int:
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return child


def test_a_forked_worker_does_not_keep_the_lock(tmp_path: Path) -> None:
    target, ready = tmp_path / "x-0", tmp_path / "ready"

    def run_with_worker() -> None:
        with locked(target):
            _in_child(lambda: (ready.write_text(str(os.getpid())), time.sleep(30)))
            time.sleep(30)

    run = _in_child(run_with_worker)
    while not (ready.exists() and ready.read_text()):
        time.sleep(0.01)
    assert is_locked(target)
    os.kill(run, signal.SIGKILL)
    os.waitpid(run, 0)
    assert not is_locked(target)
    os.kill(int(ready.read_text()), signal.SIGKILL)
