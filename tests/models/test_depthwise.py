"""Gradients of depthwise convolutions: those of torch, in every form that they are put together of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ifrkit.models.depthwise import depthwise

EXACT = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}


def gradients(x: torch.Tensor, filters: torch.Tensor, g: torch.Tensor, *how: object) -> list[torch.Tensor]:
    """Result and both gradients."""
    x, filters = x.detach().requires_grad_(), filters.detach().requires_grad_()
    result = depthwise(x, filters, *how)  # type: ignore[arg-type]
    return [result, *torch.autograd.grad(result, (x, filters), g.to(result.dtype))]


def expected(
    x: torch.Tensor, filters: torch.Tensor, g: torch.Tensor, stride: int, padding: tuple[int, int], dilation: int
) -> list[torch.Tensor]:
    """The same by torch, in float64."""
    x, filters = x.detach().double().requires_grad_(), filters.detach().double().requires_grad_()
    result = F.conv2d(x, filters, None, stride, padding, dilation, x.shape[1])
    return [result, *torch.autograd.grad(result, (x, filters), g.double())]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([3, 5, 7]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 3]),
    st.integers(1, 21),
    st.integers(1, 21),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    st.booleans(),
)
def test_gradients_are_those_of_torch(
    side: int, stride: int, dilation: int, height: int, width: int, dtype: torch.dtype, channels_last: bool
) -> None:
    """Any filter, stride, dilation and size, odd ones too."""
    rng = torch.Generator().manual_seed(side + 10 * height + 1000 * width)
    around = dilation * (side // 2)
    x = torch.randn(2, 8, height, width, generator=rng).to(dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    filters = torch.randn(8, 1, side, side, generator=rng).to(dtype)
    how = stride, (around, around), dilation
    g = torch.randn(F.conv2d(x, filters, None, *how, 8).shape, generator=rng).to(dtype)
    for own, wanted in zip(gradients(x, filters, g, *how), expected(x, filters, g, *how), strict=True):
        assert own.dtype == dtype
        assert own.shape == wanted.shape
        assert (own.double() - wanted).abs().max() <= EXACT[dtype] * max(1.0, wanted.abs().max().item())


@pytest.mark.parametrize("dilation", [1, 2])
def test_autocast_rounds_as_it_does_for_torch(dilation: int) -> None:
    """Under autocast the result is bfloat16, and the gradients of float32 inputs are float32."""
    x, filters = torch.randn(2, 8, 12, 16, requires_grad=True), torch.randn(8, 1, 5, 5, requires_grad=True)
    how = 1, (2 * dilation, 2 * dilation), dilation
    with torch.autocast("cpu", torch.bfloat16):
        own, torchs = depthwise(x, filters, *how), F.conv2d(x, filters, None, *how, 8)
    assert own.dtype == torchs.dtype == torch.bfloat16
    torch.testing.assert_close(own, torchs)
    g = torch.randn(own.shape).bfloat16()
    for mine, theirs in zip(
        torch.autograd.grad(own, (x, filters), g), torch.autograd.grad(torchs, (x, filters), g), strict=True
    ):
        assert mine.dtype == torch.float32
        assert (mine - theirs).abs().max() <= 0.02 * theirs.abs().max()


def test_a_part_that_needs_no_gradient_gets_none() -> None:
    """Frozen filters, and the first layer of a network."""
    x, filters = torch.randn(1, 8, 9, 9), torch.randn(8, 1, 5, 5, requires_grad=True)
    depthwise(x, filters, 1, (2, 2), 1).sum().backward()
    assert x.grad is None
    assert filters.grad is not None
    x, filters = x.requires_grad_(), filters.detach()
    depthwise(x, filters, 1, (2, 2), 1).sum().backward()
    assert x.grad is not None
    assert filters.grad is None
