"""The prepare stage: the same bytes however it runs, what it refuses, and what a rerun keeps."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from file_limit import files_of_at_most
from toy_config import toy_config

from ifrkit.artifacts.job import Silent
from ifrkit.artifacts.listing import sha256
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ConfigError, DatasetError, IfrkitError, InterruptedRun, ResourceError
from ifrkit.data.store.clips import ClipStore
from ifrkit.stages import _prepare
from ifrkit.stages.prepare import STAGE
from ifrkit.stages.runner import Run, execute

LARGE = {"height": 96, "width": 160}
"""17 of such frames fill a file of 1 MiB, so the 26 frames go into two."""


class Listener(Silent):
    """Remembers what a run says."""

    def __init__(self) -> None:
        self.tables: dict[str, list[list[str]]] = {}
        self.warnings: list[str] = []
        self.tracked: tuple[int | None, int] | None = None

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def track(self, items: Iterable[Any], title: str, total: int | None = None, start: int = 0) -> Iterable[Any]:
        self.tracked = total, start
        return items

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        self.tables[title] = [columns, *rows]


def prepare(
    workspace: Path,
    options: dict[str, Any] | None = None,
    *,
    out: Path | None = None,
    stop: Callable[[], int] = lambda: 0,
    report: Listener | None = None,
    **changes: Any,
) -> Artifact:
    config = toy_config(options, **changes)
    return execute(STAGE, config, Run(workspace=workspace, inputs=[], out=out, stop=stop, display=report or Listener()))


def checksums(artifact: Artifact) -> dict[str, str]:
    return {file.path: file.sha256 for file in artifact.entries()}


def read_names() -> list[str]:
    read: list[str] = sys.modules["data_prep.toyset"].READ
    return read


@pytest.mark.parametrize("codec", ["raw", "png"])
def test_bytes_do_not_depend_on_the_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    options = {**LARGE, "flow": True}
    one = prepare(tmp_path / "one", options, codec=codec)
    monkeypatch.setattr(_prepare, "cores", lambda: 3)
    many = prepare(tmp_path / "many", options, codec=codec, runtime={"workers": 1})
    assert one.id == many.id
    assert checksums(one) == checksums(many)
    ClipStore(many.path).verify()


def test_files_are_bounded_and_frames_keep_their_order(tmp_path: Path) -> None:
    artifact = prepare(tmp_path, LARGE, file_mib=1)
    store = ClipStore(artifact.path)
    assert [len(file.frames) for file in store.index.files] == [17, 9]
    assert all(file.size <= 1 << 20 for file in artifact.entries())
    names = dict.fromkeys(name for clip in store.clips for name in clip.frames)
    assert [name for file in store.index.files for name in file.frames] == list(names)
    store.verify()


def test_the_histogram_counts_each_visible_label_once(tmp_path: Path) -> None:
    listener = Listener()
    artifact = prepare(tmp_path, report=listener)
    store = ClipStore(artifact.path)
    for split in ("train", "val"):
        labels = [store.label(clip, 3) for clip in store.clips_of(split)]
        counts = np.bincount(np.concatenate(labels).ravel(), minlength=256)
        assert store.index.histogram[split] == (*counts[:4], counts[255])
        assert artifact.manifest.metrics["histogram"][split] == [*counts[:4], counts[255]]
    assert artifact.manifest.metrics["frames"]["train"] == {"clips": 6, "frames": 19, "labels": 6, "hidden_labels": 6}
    assert listener.tables["Clips"][1] == ["train", "6", "19", "6", "6"]
    shares = listener.tables["Label histogram (% of pixels)"]
    assert shares[0] == ["class", "train", "val"]
    assert shares[-1] == ["(ignored)", "4.17", "4.17"]  # one row of 24
    assert listener.warnings == []


@pytest.mark.parametrize("file_mib", [1, 2048])
def test_an_interrupted_run_goes_on_after_its_finished_files(tmp_path: Path, file_mib: int) -> None:
    whole = prepare(tmp_path / "whole", LARGE, file_mib=file_mib)
    left = iter([0] * 20 + [15] * 99)
    with pytest.raises(InterruptedRun) as caught:
        prepare(tmp_path / "cut", LARGE, file_mib=file_mib, stop=lambda: next(left))
    assert caught.value.exit_code == 143
    read_names().clear()
    listener = Listener()
    again = prepare(tmp_path / "cut", LARGE, file_mib=file_mib, report=listener)
    kept = 17 if file_mib == 1 else 0
    assert listener.tracked == (26, kept)
    assert len(read_names()) == 2 + 26 - kept  # one for the size, and one for the check before
    assert checksums(again) == checksums(whole)
    assert again.manifest.metrics == whole.manifest.metrics


def test_what_another_configuration_left_is_not_used(tmp_path: Path) -> None:
    out, left = tmp_path / "clips", iter([0] * 20 + [2] * 99)
    with pytest.raises(InterruptedRun):
        prepare(tmp_path, LARGE, file_mib=1, out=out, stop=lambda: next(left))
    other = prepare(tmp_path, LARGE, file_mib=1, out=out, seed=4)
    assert checksums(other) == checksums(prepare(tmp_path / "fresh", LARGE, file_mib=1, seed=4))


def test_half_size_is_the_rounded_mean_and_the_first_label(tmp_path: Path) -> None:
    half, whole = (ClipStore(prepare(tmp_path, size=size).path) for size in ((12, 20), None))
    frame, label = whole.frame(2, 3).astype(int), whole.label(2, 3)
    blocks = frame[::2, ::2] + frame[1::2, ::2] + frame[::2, 1::2] + frame[1::2, 1::2]
    assert np.array_equal(half.frame(2, 3), (blocks + 2) >> 2)
    assert np.array_equal(half.label(2, 3), label[::2, ::2])


FAULTS = {
    "ids": r"label of frame train/000006 holds ids \[4, 200\] outside 0\.\.3 and 255",
    "cut": r"train/000006\.png: cannot be read as an image \(truncated\); copy it again",
    "size": r"frame train/000006 has 40x26 pixels, the first frame 40x24; .*size=",
    "label_size": r"label of frame train/000006 has 40x23 pixels, the frame 40x24",
    "twice": r"two clips are named train_0",
    "leak": r"frame train/000000 is in train and in val \(clip leak\)",
    "position": r"clip train_1 has 4 frames, but labels at \[1, 3, 4\]",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("workers", [0, 1])
def test_bad_data_is_one_line_that_names_it(tmp_path: Path, fault: str, workers: int) -> None:
    with pytest.raises(DatasetError, match=FAULTS[fault]) as caught:
        prepare(tmp_path, {"fault": fault}, runtime={"workers": workers})
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    assert not list(tmp_path.rglob("*.h5*"))


@pytest.mark.parametrize(
    ("options", "changes", "error", "message"),
    [
        ({"train": 0}, {}, DatasetError, "train split is empty"),
        ({}, {"root": "nowhere"}, DatasetError, "nowhere: no such directory"),
        ({"flow": True}, {"size": (12, 20)}, ConfigError, "exact flow"),
        ({"fault": "dies"}, {"runtime": {"workers": 1}}, ResourceError, "reading process was killed"),
    ],
)
def test_what_cannot_be_prepared(
    tmp_path: Path, options: dict[str, Any], changes: dict[str, Any], error: type[IfrkitError], message: str
) -> None:
    with pytest.raises(error, match=message):
        prepare(tmp_path, options, **changes)


@pytest.mark.parametrize("fault", ["size", "label_size"])
def test_sizes_may_differ_when_one_is_given(tmp_path: Path, fault: str) -> None:
    store = ClipStore(prepare(tmp_path, {"fault": fault}, size=(12, 20)).path)
    assert store.frame(1, 3).shape == (12, 20, 3)
    assert store.label(1, 3).shape == (12, 20)


def test_warns_when_nothing_can_be_trained_or_scored(tmp_path: Path) -> None:
    listener = Listener()
    artifact = prepare(tmp_path, {"fault": "bare"}, report=listener)
    assert [warning.split(":")[0] for warning in listener.warnings] == [
        "no training clip has a label",
        "neither val nor test has labels",
    ]
    assert ClipStore(artifact.path).pixel_label_names == frozenset()


def test_a_full_disk_is_a_resource_error(tmp_path: Path) -> None:
    """In a process of its own, whose files may have 512 KiB at most."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with files_of_at_most(512 << 10):
                prepare(tmp_path, LARGE)
        except ResourceError as error:
            code = 0 if "\n" not in str(error) and not list(tmp_path.rglob("*.partial")) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ClipStore(prepare(tmp_path, LARGE).path).verify()


def test_opencv_resizes_as_the_rules_say() -> None:
    """The file's sum proves nothing if the library changes its rules."""
    rng = np.random.default_rng(0)
    for height, width in ((12, 20), (9, 14), (30, 31)):
        label = rng.integers(0, 255, (height, width), np.uint8)
        for size in ((5, 7), (height, 6), (height * 2, width * 3)):
            rows, columns = ((np.arange(n) * whole) // n for n, whole in zip(size, label.shape, strict=True))
            found = cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST)
            assert np.array_equal(found, label[rows][:, columns])


def test_the_path_of_the_artifact_has_the_dataset_s_name(tmp_path: Path) -> None:
    artifact = prepare(tmp_path)
    assert artifact.path.name.startswith("toyset-")
    assert sha256(artifact.path / "frames-00000.h5") == checksums(artifact)["frames-00000.h5"]
