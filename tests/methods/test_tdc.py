"""The temporally dependent classifier against numbers of its released formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from spec_tensors import wave, weights
from torch import Tensor

from ifrkit.config.network import NetworkConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.methods.tdc import Method, joint_probability, temporal_loss
from ifrkit.models.network import build_network
from ifrkit.train.optim import branch_optimizer
from ifrkit.train.stage_one import BranchLosses

K, C = 4, 6


def clip() -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    weak = [wave(10 + t, (2, C, 3, 5)).requires_grad_() for t in range(5)]
    strong = [wave(20 + t, (2, C, 3, 5)).requires_grad_() for t in range(5)]
    labels = [torch.einsum("kc,bchw->bkhw", weights(2, (K, C), 0.5), f).argmax(1) for f in weak]
    return weak, strong, labels, weights(1, (K, C), 0.5).requires_grad_()


def norms(gradients: Sequence[Tensor]) -> list[float]:
    return [gradient.norm().item() for gradient in gradients]


def test_the_numbers_of_the_released_loss() -> None:
    weak, strong, labels, g = clip()
    sigmas = torch.ones(2, requires_grad=True)
    loss = temporal_loss(weak, strong, labels, g, sigmas[0], sigmas[1])
    assert loss.item() == pytest.approx(6.406561, rel=1e-6)
    of_g, of_sigmas, *of_frames = torch.autograd.grad(loss, [g, sigmas, *weak, *strong])
    assert of_g.norm().item() == pytest.approx(1.399607, rel=1e-5)
    assert of_sigmas.tolist() == pytest.approx([0.449033, 0.346471], rel=1e-5)
    assert norms(of_frames[:5]) == pytest.approx([0.039893, 0.012762, 0.013074, 0.009467, 0.008125], rel=1e-3)
    assert norms(of_frames[5:]) == pytest.approx([0.064888, 0.039700, 0.051507, 0.049224, 0.060828], rel=1e-4)
    ten = torch.tensor(10.0)
    assert temporal_loss(weak, strong, labels, g, ten, ten).item() == pytest.approx(16.631525, rel=1e-6)


def test_what_must_not_matter() -> None:
    weak, strong, labels, g = clip()
    one = torch.tensor(1.0)
    loss = temporal_loss(weak, strong, labels, g, one, one).item()
    scaled = temporal_loss([3 * f for f in weak], [2 * f for f in strong], labels, g, one, one)
    assert scaled.item() == pytest.approx(loss, rel=1e-5)
    backwards = temporal_loss(weak[::-1], strong[::-1], labels[::-1], g, one, one)
    assert backwards.item() == pytest.approx(loss, rel=1e-6)


def test_every_frame_of_every_clip_has_prototypes_of_its_own() -> None:
    """Never pooled over the batch: the loss of two clips is the mean of their losses."""
    torch.manual_seed(0)
    weak, strong = (list(torch.randn(3, 2, C, 3, 5)) for _ in range(2))
    labels, g, one = list(torch.randint(K, (3, 2, 3, 5))), torch.randn(K, C), torch.tensor(1.0)
    alone = [
        temporal_loss(*([x[i : i + 1] for x in frames] for frames in (weak, strong, labels)), g, one, one)
        for i in range(2)
    ]
    both = temporal_loss(weak, strong, labels, g, one, one)
    assert both.item() == pytest.approx(sum(alone).item() / 2, rel=1e-5)
    assert alone[0].item() != pytest.approx(alone[1].item(), rel=1e-3)


def test_probabilities() -> None:
    torch.manual_seed(0)
    features, prototypes = torch.randn(2, C, 3, 5), torch.randn(2, K, C)
    present = torch.tensor([[True, True, False, False], [True, False, True, False]])
    one = torch.tensor(1.0)
    p = joint_probability(features, torch.randn(K, C), one, prototypes, present, one)
    assert torch.allclose(p.sum(1), torch.ones(2, 3, 5), atol=1e-6)
    silent = joint_probability(0 * features, torch.randn(K, C), one, prototypes, present, one)
    assert -math.log(1e-6 + silent[0, 0, 0, 0].item()) == pytest.approx(1.0986092, abs=1e-6)
    assert -math.log(1e-6 + silent[0, 3, 0, 0].item()) == pytest.approx(1.7917534, abs=1e-6)


def test_one_frame_alone_and_features_of_zero() -> None:
    _, strong, labels, g = clip()
    three, one = torch.tensor(3.0), torch.tensor(1.0)
    alone = temporal_loss(strong[:1], strong[:1], labels[:1], g, three, one)
    cosine = torch.einsum("kc,bchw->bkhw", F.normalize(g, dim=1), F.normalize(strong[0], dim=1))
    assert alone.item() == pytest.approx(F.cross_entropy(3 * cosine, labels[0]).item(), rel=1e-6)
    silent = temporal_loss(strong[:1], [0 * strong[0]], labels[:1], g, three, one)
    assert silent.item() == pytest.approx(math.log(K), rel=1e-6)


def test_prototypes_along_the_vectors_add_nothing() -> None:
    """If every class is there, its mean parallel to its vector, and both scales equal, the global loss is left."""
    torch.manual_seed(0)
    features, g = torch.randn(2, C, 3, 5), torch.randn(5, C)
    three = torch.tensor(3.0)
    p = joint_probability(features, g, three, 2.5 * g.expand(2, 5, C), torch.ones(2, 5, dtype=torch.bool), three)
    cosine = torch.einsum("kc,bchw->bkhw", F.normalize(g, dim=1), F.normalize(features, dim=1))
    torch.testing.assert_close(p, (3 * cosine).softmax(1))


def test_half_precision_does_not_touch_the_cosines() -> None:
    weak, strong, labels, g = clip()
    ten = torch.tensor(10.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = temporal_loss(weak, strong, labels, g, ten, ten)
    assert loss.item() == pytest.approx(16.631525, rel=1e-6)


def test_the_vectors_learn_at_the_rate_of_the_head_and_the_scales_at_that_of_the_backbone() -> None:
    method = Method(Method.Config())
    module = BranchLosses(build_network(NetworkConfig(width=0.125), K, 0), {"tdc": method}, TrainBranchesConfig())
    rates = {
        id(p): group["lr"]
        for group in branch_optimizer(module, TrainBranchesConfig()).param_groups
        for p in group["params"]
    }
    assert (rates[id(method.g)], rates[id(method.sigmas)]) == (1e-2, 1e-3)
    assert (method.g.shape, method.sigmas.tolist()) == ((K, module.network.feature_channels), [1, 1])
