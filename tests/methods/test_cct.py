"""Cross-consistency training: decoders against numbers of the released ones, perturbations by their definition."""

from __future__ import annotations

import math

import pytest
import torch
from spec_tensors import wave, weights
from torch import Tensor

from ifrkit.methods.cct import Method
from ifrkit.models import cct_decoders as cct

CLASSES = 5


def decoder(offset: int) -> cct.Decoder:
    made = cct.Decoder(16, CLASSES)
    tensors = [made.project.weight]
    for layer in made.grow:
        assert isinstance(layer, torch.nn.Conv2d)
        assert layer.bias is not None
        tensors += [layer.weight, layer.bias]
    with torch.no_grad():
        for j, tensor in enumerate(tensors):
            scale = 2 * math.sqrt(2 / tensor[0].numel()) if tensor.dim() == 4 else 0.1
            tensor.copy_(weights(j + offset, tuple(tensor.shape), scale))
    return made


def features() -> Tensor:
    return wave(1, (2, 16, 4, 6)).relu().requires_grad_()


def distance(a_bkhw: Tensor, b_bkhw: Tensor) -> Tensor:
    return (a_bkhw.softmax(1) - b_bkhw.detach().softmax(1)).square().mean()


def test_the_numbers_of_the_released_decoders() -> None:
    f = features()
    main, aux = decoder(1)(f), decoder(11)(f)
    assert main.shape == (2, CLASSES, 32, 48)
    found = (main.mean().item(), main.std().item(), main.max().item())
    assert found == pytest.approx((0.908050, 1.832524, 10.0139), rel=1e-4)
    assert main.argmax(1).flatten().bincount().tolist() == [906, 848, 374, 296, 648]
    loss = distance(aux, main)
    (slope,) = torch.autograd.grad(loss, f)
    assert loss.item() == pytest.approx(0.08876891, rel=1e-5)
    assert slope.norm().item() == pytest.approx(0.01453270, rel=1e-4)
    blind = distance(decoder(11)(0 * f), main)
    assert blind.item() == pytest.approx(0.04548001, rel=1e-5)


def test_feature_drop_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    f = features()
    ranges: list[tuple[float, float]] = []
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda x, low, high: ranges.append((low, high)) or x.fill_(0.8))
    dropped = cct.feature_drop(f, torch.zeros(2, 4, 6))
    monkeypatch.undo()
    assert ranges == [(0.7, 0.9)]
    assert int((dropped.detach() != 0).any(1).sum()) == 1
    loss = distance(decoder(11)(dropped), decoder(1)(f))
    (slope,) = torch.autograd.grad(loss, f)
    assert loss.item() == pytest.approx(0.04617940, rel=1e-5)
    assert slope.norm().item() == pytest.approx(0.00219605, rel=1e-4)


def test_perturbations_do_what_they_say() -> None:
    torch.manual_seed(0)
    f = features().detach() + 1
    things = torch.zeros(2, 64, 96, dtype=torch.bool)
    things[:, 16:56, 20:80] = True
    both = cct.context_mask(f, things) + cct.object_mask(f, things)
    assert torch.equal(both, f)
    inside = things[:, ::16, ::16][:, None].expand_as(f)
    assert inside.any()
    assert not cct.object_mask(f, things)[inside].any()
    assert torch.equal(cct.context_mask(f, things)[inside], f[inside])
    ratio = cct.feature_noise(f, things) / f
    assert 0.7 <= ratio.min() < 0.8 < 1.2 < ratio.max() <= 1.3
    assert torch.allclose(ratio[0], ratio[1], atol=1e-5)
    halved = (cct.dropout(f, things) == 0).all((2, 3)).float().mean()
    assert 0.2 < halved < 0.8


def test_cutout_erases_a_box_inside_things_of_many_corners() -> None:
    torch.manual_seed(0)
    f = torch.ones(2, 3, 32, 48)
    y, x = torch.meshgrid(torch.arange(256), torch.arange(384), indexing="ij")
    disc = ((y - 128) ** 2 + (x - 200) ** 2 < 100**2)[None].expand(2, -1, -1)
    kept = [cct.guided_cutout(f, disc) for _ in range(20)]
    for seen in kept:
        rows, columns = (seen[0, 0] == 0).nonzero().unbind(1)
        assert len(rows) == (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert len(rows) in (9 * 9, 9 * 10, 10 * 10)  # 0.4 of 199 pixels, at an eighth
        assert 28 / 8 <= rows.min() <= rows.max() <= 228 / 8
        assert 100 / 8 <= columns.min() <= columns.max() <= 300 / 8
    assert len({tuple(seen.flatten().tolist()) for seen in kept}) > 5
    box = torch.zeros_like(disc)
    box[:, 16:200, 20:300] = True  # large, but with four corners
    for blind in (box, torch.zeros_like(disc)):
        assert torch.equal(cct.guided_cutout(f, blind), f)


def test_the_adversarial_step_has_its_length_and_beats_a_random_one() -> None:
    torch.manual_seed(0)
    f, head = features(), decoder(11)
    moved = cct.adversarial(head, f)
    step = (moved - f).flatten(1).norm(dim=1)
    assert step.tolist() == pytest.approx([2.0, 2.0], rel=1e-3)
    assert all(p.grad is None for p in head.parameters())
    noise = torch.randn_like(f).flatten(1)
    random = f + (2 * noise / noise.norm(dim=1, keepdim=True)).view_as(f)
    before = head(f)
    assert distance(head(moved), before) > 2 * distance(head(random), before)


def test_the_adversarial_step_is_alive_on_fresh_decoders_of_full_size() -> None:
    """With the released step of 1e-6 its length would be about 0.01: the rounding of float32 eats the difference."""
    torch.manual_seed(0)
    f, head = torch.randn(2, 128, 16, 32).relu(), cct.Decoder(128, 19)
    moved = cct.adversarial(head, f)
    assert (moved - f).flatten(1).norm(dim=1).tolist() == pytest.approx([2.0, 2.0], rel=1e-2)
    assert distance(head(moved), head(f)) > 1e-6


def test_equal_decoders_of_undisturbed_features_agree() -> None:
    f = features()
    loss = distance(decoder(1)(f), decoder(1)(f))
    (slope,) = torch.autograd.grad(loss, f)
    assert loss.item() == 0
    assert not slope.any()


def test_sub_pixels_start_equal() -> None:
    layer = cct.Decoder(16, CLASSES).grow[0]
    assert isinstance(layer, torch.nn.Conv2d)
    assert torch.equal(layer.weight[0::4], layer.weight[3::4])


def test_without_things_nothing_is_guided_by_them() -> None:
    assert len(Method.Config().kinds()) == 20
    assert len(Method.Config(things=(2, 3)).kinds()) == 30
