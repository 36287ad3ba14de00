"""Properties of what FlowNetS minimises."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ifrkit.models import flow_losses as losses
from ifrkit.models.flownet import build_flownet


def images(shape: tuple[int, ...] = (2, 3, 24, 32), seed: int = 0) -> Tensor:
    return 0.2 + 0.6 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def constant_flow(dx: float, dy: float, size: tuple[int, int] = (24, 32)) -> Tensor:
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).expand(1, 2, *size).clone()


@pytest.mark.parametrize("distance", [losses.l1, losses.ssim])
def test_distances_of_images(distance: object) -> None:
    assert callable(distance)
    a, b = images(), images(seed=1)
    torch.testing.assert_close(distance(a, a), torch.zeros(2, 1, 24, 32), atol=1e-6, rtol=0)
    torch.testing.assert_close(distance(a, b), distance(b, a))
    assert 0.05 < distance(a, b).mean() < 1


def test_ssim_of_flat_windows() -> None:
    """By hand: without variance only the means count, (2ab + c1) / (a^2 + b^2 + c1)."""
    got = losses.ssim(torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.25))
    want = (1 - (0.25 + 1e-4) / (0.3125 + 1e-4)) / 2
    torch.testing.assert_close(got, torch.full((1, 1, 4, 4), want), atol=1e-5, rtol=0)


@pytest.mark.parametrize("radius", [1, 3])
def test_census_sees_structure_not_lighting(radius: int) -> None:
    a, b = images(), images(seed=1)
    none = losses.census(a, a, radius)
    torch.testing.assert_close(none, torch.full((2, 1, 24, 32), 0.01**0.4))
    torch.testing.assert_close(losses.census(a, a + 0.15, radius), none, atol=1e-3, rtol=0)
    assert losses.census(a, b, radius).median() > 5 * none.max()


def test_smoothness() -> None:
    image = images((1, 3, 24, 32))
    flat = torch.full((1, 3, 24, 32), 0.5)
    assert losses.smoothness(constant_flow(3, -2), image) == pytest.approx(1e-3 * _edge_weight(image), rel=1e-4)
    step = constant_flow(0, 0)
    step[..., 16:] = 1  # 1 of 31 differences across, in both channels
    assert losses.smoothness(step, flat) == pytest.approx((1 / 31 + 30 / 31 * 1e-3 + 1e-3) / 2, rel=1e-3)
    edge = flat.clone()
    edge[..., 16:] = 0.9  # where the image has an edge too, the step is free
    assert losses.smoothness(step, edge) < 0.002


def _edge_weight(image: Tensor) -> float:
    """Mean of the two axes' mean weights: 1e-3 of it is what the robust norm leaves of constant flow."""
    means = [torch.exp(-150 * image.diff(dim=d).abs().mean(1)).mean().item() for d in (2, 3)]
    return sum(means) / 2


def test_in_frame() -> None:
    assert losses.in_frame(constant_flow(0, 0)).mean() == 1
    inside = losses.in_frame(constant_flow(2, -1))
    assert inside.shape == (1, 1, 24, 32)
    assert not inside[..., 0, :].any()
    assert not inside[..., 30:].any()
    assert inside[..., 1:, :30].all()


def test_range_map() -> None:
    torch.testing.assert_close(losses.range_map(constant_flow(0, 0)), torch.ones(1, 1, 24, 32))
    moved = losses.range_map(constant_flow(2.25, 0))  # nothing lands on columns 0 and 1, three quarters on column 2
    want = torch.tensor([0, 0, 0.75, *[1.0] * 29]).expand(1, 1, 24, 32)
    torch.testing.assert_close(moved, want)
    halves = constant_flow(0, 0)
    halves[:, 0, :, :16] = -8  # half of the frame leaves 8 columns behind, which nobody fills
    occluded = losses.range_map(halves)[0, 0, 0] < 0.2
    assert occluded.nonzero().flatten().tolist() == list(range(8, 16))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_range_map_of_flow_that_is_not_finite(value: float) -> None:
    """The loop reports a run that diverged; the mask must not fall over before."""
    assert losses.range_map(constant_flow(value, 0)).shape == (1, 1, 24, 32)


def test_consistent() -> None:
    there, back = constant_flow(3, -2), constant_flow(-3, 2)
    assert losses.consistent(there, back).all()
    assert not losses.consistent(there, there).any()
    slightly = losses.consistent(there, constant_flow(-3, 2 + 0.8))  # 0.64 <= 0.01 * (13 + 16.84) + 0.5
    assert slightly.all()
    assert not losses.consistent(there, constant_flow(-3, 2 + 0.95)).any()  # 0.9025 > 0.01 * (13 + 17.7) + 0.5


def test_masks_carry_no_gradient() -> None:
    flow = constant_flow(1.5, 0.5).requires_grad_()
    back = constant_flow(-1.5, -0.5).requires_grad_()
    for mask in (losses.in_frame(flow), losses.range_map(flow), losses.consistent(flow, back)):
        assert not mask.requires_grad
        assert mask.dtype == torch.float32


def test_masked_mean() -> None:
    value = torch.tensor([[[[1.0, 2.0, 30.0]]]])
    assert losses.masked_mean(value, torch.tensor([[[[1.0, 1.0, 0.0]]]])) == 1.5
    assert losses.masked_mean(value, torch.zeros(1, 1, 1, 3)) == 0


def levels(flow_b2hw: Tensor) -> list[Tensor]:
    """The pyramid that says this flow: each map in pixels of its own."""
    h, w = flow_b2hw.shape[-2:]
    return [F.adaptive_avg_pool2d(flow_b2hw, (-(-h // 2**s), -(-w // 2**s))) / 2**s for s in range(2, 7)]


@pytest.mark.parametrize("size", [(64, 128), (50, 70)])
def test_endpoint_error_of_the_truth(size: tuple[int, int]) -> None:
    truth = F.interpolate(8 * images((2, 2, 3, 4)) - 4, size, mode="bilinear")
    visible = torch.ones(2, 1, *size)
    assert losses.endpoint_error(levels(truth), truth, visible) < 1e-5
    off = [flow + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1) / 2**s for s, flow in enumerate(levels(truth), start=2)]
    assert losses.endpoint_error(off, truth, visible) == pytest.approx(sum(losses.EPE_WEIGHTS) * 5 / 20, rel=1e-4)


def test_the_published_weights_are_for_sums_over_pixels() -> None:
    pixels = [(320 >> s) * (448 >> s) for s in range(2, 7)]
    published = (0.005, 0.01, 0.02, 0.08, 0.32)
    assert pytest.approx([w * n for w, n in zip(published, pixels, strict=True)]) == losses.EPE_WEIGHTS


def test_endpoint_error_ignores_what_is_hidden() -> None:
    truth, visible = constant_flow(2, 1, (64, 64)), torch.ones(1, 1, 64, 64)
    visible[..., :10] = 0
    wrong = truth.clone()
    wrong[..., :10] = 99
    pyramid = [flow.requires_grad_() for flow in levels(truth)]
    assert losses.endpoint_error(pyramid, wrong, visible) < 1e-5
    nothing = losses.endpoint_error(pyramid, wrong, torch.zeros(1, 1, 64, 64))
    nothing.backward()
    assert nothing == 0
    assert all(flow.grad is not None and flow.grad.isfinite().all() for flow in pyramid)


def test_flow_starts_still_and_sees_contrast_alone() -> None:
    """Untrained, frames that are brighter by a constant give the same flow (but for the padded border)."""
    flownet = build_flownet(0.125, seed=0)
    torch.testing.assert_close(flownet.conv1[0].weight.mean((2, 3)), torch.zeros(8, 6), atol=1e-5, rtol=0)
    frame = images((1, 3, 32, 32)).double()
    first = flownet.conv1[0].double()
    dark, bright = first(torch.cat([frame, frame], 1)), first(torch.cat([frame, frame], 1) + 0.2)
    torch.testing.assert_close(dark[..., 2:-2, 2:-2], bright[..., 2:-2, 2:-2], atol=1e-4, rtol=0)
    assert 0.2 < dark.std() < 20
