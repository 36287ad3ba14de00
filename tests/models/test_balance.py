"""Weights of classes and losses against imbalance, by hand and by independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from ifrkit.config.training import BalanceConfig
from ifrkit.models.balance import BETA, CELL, class_weights, dice, lovasz, ohem, supervised_loss


def weights(by: str, pixels: list[int], **options: float) -> np.ndarray:
    found = class_weights(pixels, BalanceConfig(by=by, **options))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_square_root_by_hand() -> None:
    found = weights("power", [64, 36, 0], power=0.5)
    raw = np.array([1 / 0.8, 1 / 0.6])
    np.testing.assert_allclose(found, [*(raw / (raw @ [0.64, 0.36])), 0.0], rtol=1e-6)


def test_median_frequency_is_inverse_frequency() -> None:
    found = weights("median", [80, 15, 5], cap=100)
    np.testing.assert_allclose(found, np.array([1 / 0.8, 1 / 0.15, 1 / 0.05]) / 3, rtol=1e-6)


def test_the_effective_number_by_hand() -> None:
    pixels = [50_000_000, 20 * CELL]
    raw = np.array([(1 - BETA) / (1 - BETA ** (p / CELL)) for p in pixels])
    share = np.array(pixels) / sum(pixels)
    np.testing.assert_allclose(weights("effective", pixels, cap=1e6), raw / (raw @ share), rtol=1e-5)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=12), st.sampled_from(["power", "median", "effective"]))
def test_weights_fall_with_the_frequency_and_their_mean_is_one(pixels: list[int], by: str) -> None:
    found = class_weights(pixels, BalanceConfig(by=by, cap=1e9))  # type: ignore[arg-type]
    if not any(pixels):
        assert found is None
        return
    assert found is not None
    share = np.array(pixels) / sum(pixels)
    assert math.isclose(found @ share, 1.0, rel_tol=1e-4)
    assert all(found[k] == 0 for k in range(len(pixels)) if not pixels[k])
    order = sorted((k for k in range(len(pixels)) if pixels[k]), key=lambda k: pixels[k])
    assert all(a >= b * (1 - 1e-6) for a, b in zip(found[order], found[order[1:]], strict=False))


def test_the_cap() -> None:
    assert weights("median", [10**6, 1], cap=7.5).max() == 7.5


@pytest.mark.parametrize("by", ["none", "ohem", "lovasz", "dice"])
def test_other_choices_have_no_weights(by: str) -> None:
    assert class_weights([3, 4], BalanceConfig(by=by)) is None  # type: ignore[arg-type]


def case(seed: int = 0, ignored: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 4, 5, 6, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 3, (2, 5, 6), generator=generator)
    if ignored:
        label[0, :2] = 255
    return logits, label


def test_ohem_keeps_hard_pixels_only() -> None:
    logits, label = case(1)
    losses = F.cross_entropy(logits, label, ignore_index=255, reduction="none")[label != 255]
    torch.testing.assert_close(ohem(logits, label), losses[losses >= -math.log(0.7)].mean())


def test_ohem_of_an_easy_image_keeps_the_worst_sixteenth() -> None:
    label = torch.zeros(1, 4, 8, dtype=torch.long)
    logits = torch.stack([torch.linspace(8, 11, 32).view(4, 8), torch.zeros(4, 8)])[None].double()
    losses = F.cross_entropy(logits, label, reduction="none").flatten()
    torch.testing.assert_close(ohem(logits, label), losses.topk(2).values.mean())


def test_lovasz_of_a_hard_prediction_is_one_minus_iou() -> None:
    _, label = case(2)
    _, guess = case(3, ignored=False)
    logits = 1e4 * F.one_hot(guess, 4).movedim(-1, 1).double()
    known = label != 255
    ious = []
    for k in label[known].unique():
        here, there = label[known] == k, guess[known] == k
        ious.append(float((here & there).sum() / (here | there).sum()))
    assert float(lovasz(logits, label)) == pytest.approx(1 - np.mean(ious))


def test_dice_by_its_sums() -> None:
    logits, label = case(4)
    known = label != 255
    p = logits.softmax(1).movedim(1, -1)[known]
    terms = []
    for k in label[known].unique().tolist():
        y = (label[known] == k).double()
        terms.append(1 - 2 * (p[:, k] @ y) / ((p[:, k] ** 2).sum() + y.sum()))
    torch.testing.assert_close(dice(logits, label), torch.stack(terms).mean())


@pytest.mark.parametrize("by", ["none", "power", "ohem", "lovasz", "dice"])
def test_a_batch_without_any_label_gives_zero_and_a_gradient(by: str) -> None:
    logits, label = case()
    logits.requires_grad_()
    config = BalanceConfig(by=by)  # type: ignore[arg-type]
    loss = supervised_loss(logits, torch.full_like(label, 255), config, "all", None)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("by", ["ohem", "lovasz", "dice"])
def test_gradients_are_those_of_finite_differences(by: str) -> None:
    logits, _ = case(5)
    config = BalanceConfig(by=by)  # type: ignore[arg-type]
    small, few = logits[:1, :, :2, :3].clone().requires_grad_(), torch.tensor([[[0, 1, 2], [2, 255, 1]]])
    assert torch.autograd.gradcheck(lambda x: supervised_loss(x, few, config, "all", None), (small,))


def test_weights_multiply_each_pixel_and_not_the_denominator() -> None:
    logits, label = case(6)
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    losses = F.cross_entropy(logits, label, ignore_index=255, reduction="none")
    weighted = (losses * weight[label.clamp(max=3)]).sum() / label.numel()
    torch.testing.assert_close(supervised_loss(logits, label, BalanceConfig(by="power"), "all", weight), weighted)
