"""The temperature: fitted where the likelihood is largest, stored with the weights, used wherever a probability is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from scipy.special import log_softmax, softmax

from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.store import Artifact
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import PerFrame, seen, to_ids
from ifrkit.export.graphs import Branch, graphs
from ifrkit.models.normalisation import IMAGENET
from ifrkit.train.calibration import RANGE, fit
from ifrkit.trained import load_branch


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_it_finds_the_temperature_that_the_labels_were_drawn_with(true: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, 4)).astype(np.float32)
    drawn = (softmax(logits / true, axis=1).cumsum(1) < rng.random((20000, 1))).sum(1)
    assert fit(logits, drawn) == pytest.approx(true, rel=0.03)


def test_it_is_the_least_of_the_losses() -> None:
    rng = np.random.default_rng(1)
    logits, truth = rng.normal(0, 3, (500, 3)).astype(np.float32), rng.integers(0, 3, 500)
    truth = np.where(rng.random(500) < 0.7, logits.argmax(1), truth)
    found = fit(logits, truth)
    assert found is not None

    def loss(t: float) -> float:
        return float(-log_softmax(logits.astype(np.float64) / t, axis=1)[np.arange(500), truth].mean())

    assert loss(found) <= min(loss(found * factor) for factor in (0.9, 0.99, 1.01, 1.1)) + 1e-9


def test_its_ends() -> None:
    logits = np.array([[5.0, 0.0], [0.0, 5.0]], np.float32)
    right, wrong = fit(logits, np.array([0, 1])), fit(logits, np.array([1, 0]))
    assert right == pytest.approx(RANGE[0], rel=0.01)  # always right: as sure as can be
    assert wrong == pytest.approx(RANGE[1], rel=0.01)
    assert fit(np.zeros((0, 2), np.float32), np.zeros(0, np.int64)) is None


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_run.make_clips(tmp_path_factory.mktemp("workspace"), val_videos=2)


@pytest.fixture(scope="module")
def branches(clips: Artifact) -> Artifact:
    config = tiny_run.branches_config(ssl="none", sgd={"lr_backbone": 0.2, "lr_head": 2.0})
    return tiny_run.train(clips.path.parent.parent, config, clips)


@torch.inference_mode()
def test_a_training_stores_the_temperature_of_each_checkpoint(clips: Artifact, branches: Artifact) -> None:
    store = ClipStore.of(clips)
    index = Branches.read(branches).branches["update"]
    assert set(index.temperature) == {"best", "last"}
    for kept, value in index.temperature.items():
        network = load_branch(branches, "update", kept)
        assert network.temperature == value
        rows, truth = [], []
        for clip in store.clips_of("val"):
            position = store.clips[clip].annotated or 0
            frame = torch.from_numpy(store.frame(clip, position)).permute(2, 0, 1)[None]
            label = store.label(clip, position, hidden=True).ravel()
            rows.append(network(IMAGENET(frame))[0].flatten(1).T.numpy()[label != 255])
            truth.append(label[label != 255])
        assert fit(np.concatenate(rows), np.concatenate(truth).astype(np.int64)) == pytest.approx(value, rel=1e-3)


def test_without_held_out_labels_there_is_none(tmp_path: Path) -> None:
    made = tiny_run.make_clips(tmp_path, val_videos=0)
    trained = tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none", loop={"steps": 1, "batch": 2}), made)
    assert Branches.read(trained).branches["update"].temperature == {}
    assert load_branch(trained, "update", "last").temperature == 1.0


@torch.inference_mode()
def test_it_changes_how_sure_a_system_is_and_no_class(clips: Artifact, branches: Artifact) -> None:
    store, network = ClipStore.of(clips), load_branch(branches, "update", "best")
    place = store.clips_of("val")[0], 0
    frame = torch.from_numpy(store.frame(*place)).permute(2, 0, 1)[None]
    logits = network(IMAGENET(frame))
    for value in (1.0, 2.5):
        network.temperature = value
        found = PerFrame("", network, torch.device("cpu"), confidences=True).scored(store, *place, 0, store.size)
        assert np.array_equal(found.ids_hw, to_ids(logits, store.size))
        assert found.confidence_hw is not None
        assert np.allclose(found.confidence_hw, (logits / value).softmax(1)[0].amax(0).numpy(), atol=1e-6)
    large = seen(logits, (40, 70), 2.5)
    enlarged = torch.nn.functional.interpolate(logits, (40, 70), mode="bilinear", align_corners=False)
    assert large.confidence_hw is not None
    assert np.allclose(large.confidence_hw, (enlarged / 2.5).softmax(1)[0].amax(0).numpy(), atol=1e-6)


@torch.inference_mode()
def test_exported_graphs_hold_it_inside(branches: Artifact) -> None:
    network = load_branch(branches, "update", "best")
    network.temperature = 2.5
    (graph,) = graphs("update", Branch(network).eval(), (32, 48), ())
    frame = torch.randint(256, (1, 3, 32, 48), dtype=torch.uint8)
    (found,) = graph.module(frame)
    assert torch.equal(found, network(IMAGENET(frame)) / 2.5)
