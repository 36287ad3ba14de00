"""The warp equals the released kernel: values, gradient of the input, gradient of the flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ifrkit.models.warp import warp, warp_nearest

Array = NDArray[np.float64]


def kernel(x: Array, flow: Array, grad: Array) -> tuple[Array, Array, Array]:
    """The kernel's formulas pixel by pixel: output, gradient of the input, gradient of the flow."""
    batch, _, height, width = x.shape
    out, grad_x, grad_flow = np.zeros_like(x), np.zeros_like(x), np.zeros_like(flow)
    for b, i, j in np.ndindex(batch, height, width):
        xf, yf = j + flow[b, 0, i, j], i + flow[b, 1, i, j]
        a, c = xf - np.floor(xf), yf - np.floor(yf)
        left, right = (min(max(int(np.floor(xf)) + k, 0), width - 1) for k in (0, 1))
        top, bottom = (min(max(int(np.floor(yf)) + k, 0), height - 1) for k in (0, 1))
        upper = [((1 - a) * (1 - c), top, left), (a * (1 - c), top, right)]
        corners = [*upper, ((1 - a) * c, bottom, left), (a * c, bottom, right)]
        for weight, row, column in corners:
            out[b, :, i, j] += weight * x[b, :, row, column]
            grad_x[b, :, row, column] += weight * grad[b, :, i, j]
        tl, tr, bl, br = (x[b, :, row, column] for _, row, column in corners)
        grad_flow[b, 0, i, j] = np.sum(grad[b, :, i, j] * ((1 - c) * (tr - tl) + c * (br - bl)))
        grad_flow[b, 1, i, j] = np.sum(grad[b, :, i, j] * ((1 - a) * (bl - tl) + a * (br - tr)))
    return out, grad_x, grad_flow


def cases() -> dict[str, Array]:
    """Flows of a 6x7 map: fractional, far outside, whole pixels, and exactly on each border."""
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:6, :7].astype(np.float64)
    shape = (2, 2, 6, 7)
    return {
        "fractions": rng.normal(0, 2, shape),
        "far": rng.normal(0, 40, shape),
        "zero": np.zeros(shape),
        "whole": rng.integers(-3, 4, shape).astype(np.float64),
        "first": np.broadcast_to(np.stack([-xs, -ys]), shape).copy(),
        "last": np.broadcast_to(np.stack([6 - xs, 5 - ys]), shape).copy(),
    }


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_equals_the_kernel(case: str, dtype: torch.dtype, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    x, grad, flow = rng.normal(size=(2, 3, 6, 7)), rng.normal(size=(2, 3, 6, 7)), cases()[case]
    want = kernel(x, flow, grad)
    x_t = torch.tensor(x, dtype=dtype, requires_grad=True)
    flow_t = torch.tensor(flow, dtype=dtype, requires_grad=True)
    out = warp(x_t, flow_t)
    out.backward(torch.tensor(grad, dtype=dtype))
    for got, wanted in zip((out.detach(), x_t.grad, flow_t.grad), want, strict=True):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [(1, 5), (5, 1), (1, 1)])
def test_thin_maps(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    x, flow = rng.normal(size=(1, 2, *size)), rng.normal(0, 3, size=(1, 2, *size))
    np.testing.assert_allclose(warp(torch.tensor(x), torch.tensor(flow)).numpy(), kernel(x, flow, x)[0], atol=1e-12)


def test_zero_flow_has_a_one_sided_gradient_at_the_first_column() -> None:
    """A network that predicts nothing yet must be pulled somewhere; grid_sample gives 0 here."""
    flow = torch.zeros(1, 2, 2, 3, requires_grad=True)
    ramp = torch.tensor([[1.0, 3.0, 7.0]]).expand(1, 1, 2, 3)
    warp(ramp, flow).sum().backward()
    assert flow.grad is not None
    assert flow.grad[0, 0].tolist() == [[2, 4, 0], [2, 4, 0]]


def by_grid_sample(x: Tensor, flow: Tensor, align_corners: bool) -> Tensor:
    h, w = x.shape[-2:]
    xs, ys = torch.arange(w) + flow[:, 0], torch.arange(h)[:, None] + flow[:, 1]
    if align_corners:
        grid = torch.stack([2 * xs / (w - 1) - 1, 2 * ys / (h - 1) - 1], -1)
    else:
        grid = torch.stack([(2 * xs + 1) / w - 1, (2 * ys + 1) / h - 1], -1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=align_corners)


@pytest.mark.parametrize("align_corners", [True, False])
def test_equals_grid_sample_with_border_padding(align_corners: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 37, 53, dtype=torch.float64, requires_grad=True)
    flow = (20 * torch.randn(2, 2, 37, 53, dtype=torch.float64)).requires_grad_()
    grad = torch.randn(x.shape, dtype=torch.float64)
    want, got = by_grid_sample(x, flow, align_corners), warp(x, flow)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    for a, b in zip(torch.autograd.grad(got, (x, flow), grad), torch.autograd.grad(want, (x, flow), grad), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_gradcheck() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    flow = (
        torch.rand(1, 2, 4, 5, dtype=torch.float64) * 0.8 + 0.1 + torch.randint(-3, 3, (1, 2, 4, 5))
    ).requires_grad_()
    assert torch.autograd.gradcheck(warp, (x, flow))


def test_flow_that_is_not_finite_reads_the_border() -> None:
    x = torch.arange(4.0).reshape(1, 1, 1, 4).requires_grad_()
    flow = torch.zeros(1, 2, 1, 4)
    flow[0, 0, 0] = torch.tensor([float("nan"), float("inf"), -float("inf"), -1e30])
    flow.requires_grad_()
    out = warp(x, flow)
    assert out.flatten().tolist() == [0, 3, 0, 0]
    assert warp_nearest(x.detach().long()[0], flow.detach()).flatten().tolist() == [0, 3, 0, 0]
    out.sum().backward()
    assert flow.grad is not None
    assert flow.grad.isfinite().all()


def test_half_precision_maps_are_read_at_exact_places() -> None:
    """bfloat16 cannot tell column 2001 from 2000; the place is computed in float32, autocast or not."""
    x = (torch.arange(2048) % 2).to(torch.bfloat16).expand(1, 1, 1, 2048)
    flow = torch.zeros(1, 2, 1, 2048)
    flow[:, 0] = 1
    with torch.autocast("cpu", torch.bfloat16):
        out = warp(x, flow)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out[..., :-1], x[..., 1:])


def test_any_memory_format() -> None:
    torch.manual_seed(0)
    x, flow = torch.randn(2, 4, 5, 6), torch.randn(2, 2, 5, 6)
    assert torch.equal(warp(x, flow), warp(x.to(memory_format=torch.channels_last), flow))


def test_the_source_is_where_the_flow_points() -> None:
    """Backward flow (+2, +1): the output is the map moved 2 to the left and 1 up."""
    x = torch.arange(20.0).reshape(1, 1, 4, 5)
    flow = torch.tensor([2.0, 1.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 5)
    assert torch.equal(warp(x, flow)[..., :3, :3], x[..., 1:, 2:])


def test_ids_take_the_nearest_pixel() -> None:
    torch.manual_seed(0)
    ids = torch.randint(0, 256, (2, 9, 11), dtype=torch.uint8)
    flow = 4 * torch.randn(2, 2, 9, 11)
    xs, ys = torch.arange(11) + flow[:, 0], torch.arange(9)[:, None] + flow[:, 1]
    grid = torch.stack([2 * xs / 10 - 1, 2 * ys / 8 - 1], -1)
    want = F.grid_sample(ids[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=True)
    got = warp_nearest(ids, flow)
    assert got.dtype == torch.uint8
    assert torch.equal(got, want[:, 0].to(torch.uint8))


def test_halves_round_to_even() -> None:
    ids = torch.arange(6).reshape(1, 1, 6)
    flow = torch.zeros(1, 2, 1, 6)
    flow[:, 0] = 0.5
    assert warp_nearest(ids, flow).flatten().tolist() == [0, 2, 2, 4, 4, 5]
