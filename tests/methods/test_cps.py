"""Cross pseudo supervision: its number, its symmetry, and networks that must differ."""

from __future__ import annotations

import pytest
import torch
from spec_tensors import logits

from ifrkit.config.network import NetworkConfig
from ifrkit.methods.cps import Method, cross_supervision
from ifrkit.models.network import build_network, sibling

SHAPE = (2, 4, 3, 5)


def test_the_number_of_the_released_loss() -> None:
    first, second = logits(1, SHAPE).requires_grad_(), logits(2, SHAPE).requires_grad_()
    labels = first.argmax(1), second.argmax(1)
    assert (labels[0] == labels[1]).float().mean().item() == pytest.approx(0.8)
    loss = cross_supervision(first, second, *labels)
    slopes = torch.autograd.grad(loss, (first, second))
    assert loss.item() == pytest.approx(1.775201, rel=1e-6)
    assert [slope.norm().item() for slope in slopes] == pytest.approx([0.126837, 0.123523], rel=1e-5)
    swapped = cross_supervision(second, first, labels[1], labels[0])
    assert swapped.item() == pytest.approx(loss.item())


def test_a_sibling_differs_and_is_the_same_every_time() -> None:
    network = build_network(NetworkConfig(width=0.125), 3, seed=4)
    other, again = sibling(network), sibling(network)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), again.parameters(), strict=True))
    assert not torch.equal(other.decode_head.conv_seg.weight, network.decode_head.conv_seg.weight)
    assert not torch.equal(next(other.backbone.parameters()), next(network.backbone.parameters()))


def test_switched_off_there_is_no_second_network() -> None:
    """The training leaves out a method that is off."""
    assert not Method(Method.Config(weight=0)).on
    assert Method(Method.Config()).on
