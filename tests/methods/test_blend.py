"""Blend: which classes are pasted, what each pixel counts, and where pasted labels come from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import tiny_run
import torch
from torch.nn import functional as F

from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ConfigError
from ifrkit.methods.blend import chosen_classes, weight_of, weighted_cross_entropy
from ifrkit.stages import train_branches
from ifrkit.stages.runner import Run, execute
from ifrkit.testing.methods import terms_of, toy_clips, toy_task, train


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return toy_clips(tmp_path_factory.mktemp("workspace"))


def test_half_of_the_classes_rounded_up_and_never_the_ignored_pixels() -> None:
    label = torch.tensor([[[0, 1, 2], [255, 2, 255]], [[3, 3, 3], [3, 3, 255]], [[255, 255, 255], [255, 255, 255]]])
    for seed in range(20):
        torch.manual_seed(seed)
        mask = chosen_classes(label, torch.ones(4))
        assert len(label[0][mask[0]].unique()) == 2
        assert torch.equal(mask[1], label[1] == 3)
        assert not mask[2].any()
        assert not mask[label == 255].any()
        shown = label[0][mask[0]].unique()
        assert torch.equal(mask[0], torch.isin(label[0], shown))  # a class is pasted whole


def test_odds_follow_the_weights() -> None:
    label, weights = torch.tensor([[[0, 1]]]), torch.tensor([3.0, 1.0])
    torch.manual_seed(0)
    drawn = Counter(int(label[chosen_classes(label, weights)][0]) for _ in range(4000))
    assert drawn[0] / 4000 == pytest.approx(0.75, abs=0.03)


def test_a_class_without_weight_comes_last() -> None:
    label, weights = torch.tensor([[[0, 1, 2]]]), torch.tensor([0.0, 1.0, 1.0])
    torch.manual_seed(0)
    assert all(not chosen_classes(label, weights)[0, 0, 0] for _ in range(50))


def test_weights_count_for_each_pixel_and_ignored_ones_count_only_in_the_mean() -> None:
    torch.manual_seed(0)
    logits, label = torch.randn(1, 3, 2, 2, dtype=torch.float64), torch.tensor([[[0, 1], [255, 2]]])
    weight = torch.tensor([[[1.0, 0.25], [1.0, 0.0]]]).double()
    ce = F.cross_entropy(logits, label, ignore_index=255, reduction="none")
    expected = (ce[0, 0, 0] + 0.25 * ce[0, 0, 1]) / 4
    torch.testing.assert_close(weighted_cross_entropy(logits, label, weight), expected)


def test_each_pixel_has_the_weight_of_its_class() -> None:
    label = torch.tensor([[[0, 1], [255, 2]]])
    assert weight_of(label, torch.tensor([2.0, 4.0, 9.0])).tolist() == [[[2.0, 4.0], [1.0, 9.0]]]
    assert weight_of(label, None).tolist() == [[[1.0, 1.0], [1.0, 1.0]]]


def test_before_its_start_it_trains_as_none_does(clips: Artifact) -> None:
    task, plain = toy_task("blend", clips, method={"blend": {"start": 10}}), toy_task("none", clips)
    assert train(task) == train(plain)
    assert all(map(torch.equal, task.network.state_dict().values(), plain.network.state_dict().values()))


@pytest.mark.parametrize("teacher", ["reference", "own"])
def test_who_labels_the_frames_of_the_update_branch(tmp_path: Path, teacher: str) -> None:
    """The reference branch of the same run as well as one that came through the pipe; or the branch's own average."""
    clips = tiny_run.make_clips(tmp_path)
    shared = {
        "ssl": "blend",
        "method": {"blend": {"teacher": teacher}},
        "loop": {"steps": 3, "batch": 2, "eval_every": 1},
    }
    both = tiny_run.train(tmp_path, tiny_run.branches_config(**shared, branches="update,reference"), clips)
    first = tiny_run.train(tmp_path, tiny_run.branches_config(**shared, branches="reference"), clips)
    alone = tiny_run.branches_config(**shared, branches="update")
    if teacher == "own":
        second = tiny_run.train(tmp_path, alone, clips)
        with pytest.raises(ConfigError, match="reads no branches"):
            execute(train_branches.STAGE, alone, Run(workspace=tmp_path, inputs=[first]))
    else:
        second = execute(train_branches.STAGE, alone, Run(workspace=tmp_path, inputs=[first]))
    for name, source in (("reference", first), ("update", second)):
        file = f"{name}.last.safetensors"
        assert both.file(file).read_bytes() == source.file(file).read_bytes(), name
    assert tuple(Branches.read(both).branches) == ("update", "reference")


def test_all_from_labeled_frames_pastes_true_labels(clips: Artifact) -> None:
    """Each pixel is of the unlabeled frame or of the labeled one; of that, only pixels that have a label."""
    task = toy_task("blend", clips, method={"blend": {"start": 0, "ramp_up": 0, "labeled": 1.0}})
    seen: list[torch.Tensor] = []
    features = task.network.features

    def remember(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return features(images)

    task.network.features = remember  # type: ignore[method-assign]
    batch = task.to_device(next(iter(task.batches(0, 1))))
    terms_of(task, batch)
    blended = seen[-1]
    from_label = (blended == batch.views["v0_0"]).all(1)
    from_frame = (blended == batch.views["v1_0_b"]).all(1)
    assert (from_label | from_frame).all()
    assert from_label.any()
    assert from_frame.any()
    assert not (from_label & ~from_frame & (batch.labels["v0_0"] == 255)).any()
