"""TPS: what carrying a label over by flow must do."""

from __future__ import annotations

import pytest
import torch

from ifrkit.config.network import NetworkConfig
from ifrkit.data.loading.batch import Batch
from ifrkit.methods.tps import Method, carried_label
from ifrkit.models.network import build_network

K, H, W = 4, 6, 9


def probabilities(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, K, H, W, generator=torch.Generator().manual_seed(seed)).softmax(1)


def flow(dx: float = 0.0, dy: float = 0.0) -> torch.Tensor:
    return torch.tensor([dx, dy, 1.0])[None, :, None, None].repeat(2, 1, H, W)


def test_without_motion_the_label_is_that_of_the_other_frame() -> None:
    p_bkhw = probabilities()
    assert torch.equal(carried_label(p_bkhw, flow()), p_bkhw.argmax(1))


def test_a_motion_by_whole_pixels_moves_the_label() -> None:
    p_bkhw = probabilities()
    found = carried_label(p_bkhw, flow(dx=2, dy=-1))
    assert torch.equal(found[:, 1:, :-2], p_bkhw.argmax(1)[:, :-1, 2:])


@pytest.mark.parametrize("motion", [(0.4, -2.6), (30.0, 1.0)])
def test_one_class_stays_one_class(motion: tuple[float, float]) -> None:
    p_bkhw = torch.full((2, K, H, W), 0.1)
    p_bkhw[:, 2] = 0.7
    assert (carried_label(p_bkhw, flow(*motion)) == 2).all()


def test_mirrored_images_with_mirrored_flow_give_the_mirrored_label() -> None:
    p_bkhw, moved = probabilities(3), flow(1.3, 0.6)
    mirrored = moved.flip(3) * torch.tensor([-1.0, 1.0, 1.0])[None, :, None, None]
    assert torch.equal(carried_label(p_bkhw.flip(3), mirrored), carried_label(p_bkhw, moved).flip(2))


def test_pixels_without_sure_flow_are_ignored() -> None:
    unsure = flow()
    unsure[:, 2, :3] = 0
    found = carried_label(probabilities(), unsure)
    assert (found[:, :3] == 255).all()
    assert (found[:, 3:] < K).all()


def test_only_the_strong_view_gets_a_gradient_and_unsure_flow_no_loss() -> None:
    network = build_network(NetworkConfig(width=0.125), K, 0).train()
    method = Method(Method.Config())
    generator = torch.Generator().manual_seed(0)
    views = {view.name: torch.randn(2, 3, 24, 32, generator=generator).requires_grad_() for view in method.views()}
    for sure in (1.0, 0.0):
        flow_b3hw = torch.zeros(2, 3, 24, 32)
        flow_b3hw[:, 2] = sure
        batch = Batch(views, {}, extras={"v1_0_n": flow_b3hw})
        (loss,) = method.losses(network, batch, {}, 0).values()
        gradients = torch.autograd.grad(loss, list(views.values()), allow_unused=True)
        reached = {name for name, g in zip(views, gradients, strict=True) if g is not None and g.any()}
        assert reached == ({"v1_0_t"} if sure else set())
        assert (loss.item() > 0) == bool(sure)
