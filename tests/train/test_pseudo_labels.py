"""pseudo-label and its reader: whole files, resume, precedence of the dataset's labels, threshold, windows."""

from __future__ import annotations

import pickle
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny_run
import torch
from flips import told

from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError, ConfigError, InterruptedRun
from ifrkit.core.records import Window
from ifrkit.data.store import pseudo
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import PseudoLabels, training_frames
from ifrkit.models.tta import probabilities
from ifrkit.stages import _pseudo_label
from ifrkit.train.validation import predict_frames
from ifrkit.trained import load_branch


@pytest.fixture(scope="module")
def branches(workspace: Path) -> Artifact:
    return tiny_run.varied_branches(workspace)


@pytest.fixture(scope="module")
def store(branches: Artifact) -> ClipStore:
    return tiny_run.clips_of(branches)


@pytest.fixture(scope="module")
def labels(workspace: Path, branches: Artifact) -> Artifact:
    return tiny_run.label(workspace, branches)


def test_labels_and_confidence_are_the_branch_s(labels: Artifact, branches: Artifact, store: ClipStore) -> None:
    network = load_branch(branches, "update", "best")
    places = list(training_frames(store).values())
    assert len(places) == 8
    ids, confidence = predict_frames(network, store, places, torch.device("cpu"), flip=True)
    assert len(np.unique(ids)) > 1
    with h5py.File(labels.file("labels-00000.h5"), locking=False) as file:
        assert np.mean(file["labels"][:] == ids) > 0.999  # another batch size may turn a tie
        stored = file["confidence"][:] / 255
    assert (stored <= confidence + 1e-6).all()
    assert (stored > confidence - 1 / 255 - 1e-6).all()


def test_a_label_of_the_dataset_is_never_replaced(labels: Artifact, store: ClipStore) -> None:
    clip = store.clips_of("train")[0]
    annotated = store.clips[clip].annotated
    assert annotated is not None
    truth = store.label(clip, annotated)
    assert np.array_equal(PseudoLabels(labels, store, [clip]).label(clip, annotated, threshold=1.0), truth)
    hidden = PseudoLabels(labels, store, []).label(clip, annotated)
    assert not np.array_equal(hidden, truth)  # an unlabeled clip does not show its label


def test_windows_and_threshold(labels: Artifact, store: ClipStore) -> None:
    reader = PseudoLabels(labels, store, [])
    whole = reader.label(1, 2)
    window = Window(3, 5, 20, 31)
    assert np.array_equal(reader.label(1, 2, window), whole[3:23, 5:36])
    with h5py.File(labels.file("labels-00000.h5"), locking=False) as file:
        confidence = file["confidence"][4 + 2] / 255
    stored = float(np.median(confidence))
    for threshold in (stored, stored + 0.5 / 255):  # what was rounded down may not pass between two steps
        kept = reader.label(1, 2, threshold=threshold)
        assert np.array_equal(kept, np.where(confidence >= threshold, whole, 255))
        assert 0 < (kept == 255).sum() < kept.size


def test_the_reader_travels_to_other_processes(labels: Artifact, store: ClipStore) -> None:
    reader = PseudoLabels(labels, store, [])
    before = reader.label(0, 0)
    assert np.array_equal(pickle.loads(pickle.dumps(reader)).label(0, 0), before)


def test_labels_of_other_clips_are_refused(labels: Artifact, tmp_path: Path) -> None:
    other = ClipStore(tiny_run.make_clips(tmp_path, train_videos=3).path)
    with pytest.raises(ArtifactError, match="was not made from these clips"):
        PseudoLabels(labels, other, [])


@pytest.mark.parametrize("name", ["labels-00000.h5", "pseudo.json"])
def test_one_flipped_bit_is_found_or_changes_nothing(
    labels: Artifact, store: ClipStore, tmp_path: Path, name: str
) -> None:
    def read(artifact: Artifact) -> list[pseudo.Ids]:
        reader = PseudoLabels(artifact, store, [])
        return [reader.label(*place, threshold=0.2) for place in training_frames(store).values()]

    copy = replace(labels, path=tmp_path / "copy")
    shutil.copytree(labels.path, copy.path)
    faults = told(copy.path / name, lambda: read(copy))
    assert len(faults) > 20
    assert all(str(copy.path / name) in fault for fault in faults)


def test_an_interrupted_run_keeps_its_complete_files(
    branches: Artifact, labels: Artifact, store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pseudo_label, "PER_FILE", 3)
    whole = tiny_run.label(tmp_path / "whole", branches, batch=2)
    calls = iter(range(1, 100))
    with pytest.raises(InterruptedRun, match="1 of 3 files are complete"):
        tiny_run.label(tmp_path / "parts", branches, batch=2, stop=lambda: signal.SIGTERM if next(calls) == 4 else 0)
    first = next((tmp_path / "parts").rglob("labels-00000.h5"))
    assert [p.name for p in first.parent.glob("*.h5*")] == ["labels-00000.h5"]  # no half file beside it
    written = first.stat().st_mtime_ns
    parts = tiny_run.label(tmp_path / "parts", branches, batch=2, resume=True)
    assert parts.file("labels-00000.h5").stat().st_mtime_ns == written
    for number in range(3):
        name = pseudo.file_name(number)
        assert parts.file(name).read_bytes() == whole.file(name).read_bytes()
    several, one = PseudoLabels(parts, store, []), PseudoLabels(labels, store, [])
    for place in training_frames(store).values():
        assert np.mean(several.label(*place) == one.label(*place)) > 0.999  # another batch size may turn a tie


def test_averaging_over_one_size_is_the_plain_prediction(branches: Artifact) -> None:
    network, images = load_branch(branches, "update", "best"), torch.randn(2, 3, 25, 31)
    with torch.no_grad():
        assert torch.equal(probabilities(network, images), network(images).softmax(1))
        for scales in ((1.0,), (0.5, 1.0, 1.7)):
            both = probabilities(network, images, scales, flip=True)
            torch.testing.assert_close(both.sum(1), torch.ones(2, 25, 31))
            mirrored = probabilities(network, images.flip(3), scales, flip=True)
            torch.testing.assert_close(mirrored, both.flip(3))
        assert not torch.allclose(both, probabilities(network, images), atol=1e-4)


def test_a_second_labeling_is_the_same_to_the_byte(branches: Artifact, labels: Artifact, tmp_path: Path) -> None:
    again = tiny_run.label(tmp_path, branches)
    assert again.id == labels.id
    with (
        h5py.File(labels.file("labels-00000.h5"), locking=False) as first,
        h5py.File(again.file("labels-00000.h5"), locking=False) as second,
    ):
        for name in ("labels", "confidence"):
            assert np.array_equal(first[name][:], second[name][:])


def test_rounds_follow_each_other_through_the_input(labels: Artifact, workspace: Path) -> None:
    """Labels that are given are the ones that teach, also when the workspace holds newer ones."""
    config = tiny_run.branches_config(ssl="self-training")
    student = tiny_run.train(workspace, config, labels)
    second = tiny_run.label(workspace, student)
    assert second.id != labels.id
    again = tiny_run.train(workspace, config, second)
    assert {a.id for a in again.inputs()} >= {second.id}
    assert tiny_run.train(workspace, config, labels).id == student.id
    clips = labels.ancestor("clips")
    assert clips is not None
    assert tiny_run.train(workspace, config, clips).id == again.id  # without any: the newest of the workspace


def test_a_method_without_pseudo_labels_refuses_them(labels: Artifact, workspace: Path) -> None:
    with pytest.raises(ConfigError, match="--ssl ifr reads no pseudo-labels"):
        tiny_run.train(workspace, tiny_run.branches_config(ssl="ifr"), labels)
