"""Losses of the mean-teacher methods against numbers of their released formulas, and what must hold by construction."""

from __future__ import annotations

import pytest
import torch
from spec_tensors import logits
from torch import Tensor

from ifrkit.config.network import NetworkConfig
from ifrkit.methods._mean_teacher import confident_cross_entropy
from ifrkit.methods._mixing import box_or_none, boxes_of_area, half_of_the_classes, mix, partners
from ifrkit.methods.classmix import weighted_cross_entropy
from ifrkit.methods.cutmix import consistency
from ifrkit.methods.unimatch import complementary_dropout
from ifrkit.models.network import build_network
from ifrkit.models.teacher import Teacher

SHAPE = (2, 4, 8, 8)


def boxes() -> Tensor:
    mask = torch.zeros(2, 8, 8, dtype=torch.bool)
    mask[0, 2:6, 1:7] = True
    mask[1, :, :4] = True
    return mask


@pytest.mark.parametrize(
    ("threshold", "rate", "loss", "gradient"),
    [(0.5, 0.859375, 0.15434179, 0.01934931), (0.6, 0.6640625, 0.11926411, 0.01495174), (0.97, 0.0, 0.0, 0.0)],
)
def test_cutmix_numbers(threshold: float, rate: float, loss: float, gradient: float) -> None:
    student = logits(3, SHAPE).requires_grad_()
    teacher = mix(logits(4, SHAPE).softmax(1), logits(5, SHAPE).softmax(1), boxes())
    assert (teacher.amax(1) >= threshold).float().mean() == pytest.approx(rate)
    found = consistency(student, teacher, threshold)
    (slope,) = torch.autograd.grad(found, student)
    assert found.item() == pytest.approx(loss, rel=1e-5)
    assert slope.norm().item() == pytest.approx(gradient, rel=1e-5)


@pytest.mark.parametrize(
    ("threshold", "loss", "gradient"),
    [(0.0, 0.55668867, 0.05707010), (0.6, 0.30551609, 0.04006961), (0.95, 0.0, 0.0)],
)
def test_fixmatch_numbers(threshold: float, loss: float, gradient: float) -> None:
    student = logits(10, SHAPE).requires_grad_()
    confidence, label = logits(9, SHAPE).softmax(1).max(1)
    valid = slice(2, None)  # the numbers ignore the first two rows
    found = confident_cross_entropy(student[:, :, valid], label[:, valid], confidence[:, valid], threshold)
    (slope,) = torch.autograd.grad(found, student)
    assert found.item() == pytest.approx(loss, rel=1e-5)
    assert slope.norm().item() == pytest.approx(gradient, rel=1e-5)


@pytest.mark.parametrize(("threshold", "loss", "gradient"), [(0.7, 0.7803805, 0.0347556), (0.968, 0.0, 0.0)])
def test_classmix_numbers(threshold: float, loss: float, gradient: float) -> None:
    teacher = torch.stack([logits(6, SHAPE[1:]), logits(7, SHAPE[1:])]).softmax(1)
    mask = teacher.argmax(1) < 2
    assert mask.float().mean((1, 2)).tolist() == [0.65625, 0.5625]
    student = logits(8, SHAPE).requires_grad_()
    found = weighted_cross_entropy(student, mix(teacher.flip(0), teacher, mask), threshold)
    (slope,) = torch.autograd.grad(found, student)
    assert found.item() == pytest.approx(loss, rel=1e-5)
    assert slope.norm().item() == pytest.approx(gradient, rel=1e-4)


def test_half_of_the_classes_that_are_there() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([[[0, 1, 2], [3, 3, 3]], [[5, 5, 5], [5, 5, 5]]])
    for _ in range(20):
        mask = half_of_the_classes(labels, 7)
        assert len(labels[0][mask[0]].unique()) == 2
        assert not mask[1].any()
        for one in labels[0].unique():
            assert mask[0][labels[0] == one].unique().numel() == 1
    ignored = torch.tensor([[[255, 0, 1]]])
    assert not half_of_the_classes(ignored, 3)[0, 0, 0]


def test_boxes_have_the_published_areas() -> None:
    torch.manual_seed(0)
    one = boxes_of_area((64, 128), 500).float().mean((1, 2))
    assert 0.47 < one.min() < one.mean() < one.max() < 0.53
    assert one.mean().item() == pytest.approx(0.5, abs=0.005)
    three = boxes_of_area((64, 128), 1000, (0.25, 0.5), boxes=3).float().mean((1, 2))
    assert three.mean().item() == pytest.approx(0.253, abs=0.02)
    some = box_or_none((64, 128), 2000).float().mean((1, 2))
    assert (some == 0).float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert some[some > 0].mean().item() == pytest.approx(0.203, abs=0.015)
    assert not box_or_none((8, 8), 10, probability=0.0).any()


def test_partners_are_of_other_clips() -> None:
    assert partners([1, 2, 3, 4]) == [3, 2, 1, 0]
    assert partners([1, 2, 2, 1]) == [1, 3, 3, 1]
    assert partners([7]) == [0]
    assert partners([7, 7, 8])[:2] == [2, 2]


def test_mixing_by_nothing_and_by_everything() -> None:
    a, b = logits(1, SHAPE), logits(2, SHAPE)
    none, every = (torch.full((2, 8, 8), value) for value in (False, True))
    assert torch.equal(mix(a, b, none), a)
    assert torch.equal(mix(a, b, every), b)


def test_complementary_dropout() -> None:
    torch.manual_seed(0)
    x = torch.ones(8, 16, 2, 3)
    first, second = complementary_dropout(x).chunk(2)
    assert torch.equal(first + second, 2 * torch.ones(4, 16, 2, 3))
    assert sum(bool((pair == 1).all()) for pair in first) == 2
    assert set(first.unique().tolist()) == {0.0, 1.0, 2.0}


def test_the_teacher_follows() -> None:
    network = build_network(NetworkConfig(width=0.125), 3, seed=0)
    teacher = Teacher(network, 0.9, warm=False)
    teacher.train()
    assert not teacher.network.training
    assert not any(p.requires_grad for p in teacher.parameters())
    start = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(1)
    for step in range(3):
        teacher.follow(network, step)
    for name, value in teacher.network.state_dict().items():
        moved = 1.0 if name.endswith("num_batches_tracked") else 1 - 0.9**3
        assert torch.allclose(value.double(), start[name].double() + moved, atol=1e-5)
    warm = Teacher(build_network(NetworkConfig(width=0.125), 3, seed=1), 0.9, warm=True)
    warm.follow(network, 0)
    assert all(torch.equal(a, b) for a, b in zip(warm.parameters(), network.parameters(), strict=True))
