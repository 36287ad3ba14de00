"""Depthwise convolution whose backward pass is fast on a CPU, in float32 and bfloat16. Its gradients are exact.

The kernels that torch has for it (oneDNN) are several times slower than need be in three cases, each of which has an
equal form that is fast (`python benchmarks/depthwise.py`):

- dilated: an ordinary convolution of every d-th pixel, for each of the d * d places to begin at;
- weights larger than 3x3: their gradient is put together of blocks of 3x3, which see a part of the image that is moved;
- bfloat16 with a stride: the gradient of the image is taken in float32.

Letters as in core/records.py; k * k is the size of the filters.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 3
"""Sides of the filters whose kernels are fast."""


def depthwise(x_bchw: Tensor, filters_c1kk: Tensor, stride: int, padding: tuple[int, int], dilation: int) -> Tensor:
    """As `F.conv2d` with one filter a channel and without bias, under autocast too. padding: (rows, columns)."""
    if not (x_bchw.is_cpu and torch.is_grad_enabled()):
        return F.conv2d(x_bchw, filters_c1kk, None, stride, padding, dilation, x_bchw.shape[1])
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x_bchw, filters_c1kk = x_bchw.to(dtype), filters_c1kk.to(dtype)
    if dilation == 1 or stride > 1:
        return _filtered(x_bchw, filters_c1kk, stride, padding, dilation)
    height, width = (side + 2 * added for side, added in zip(x_bchw.shape[-2:], padding, strict=True))
    below, right = (-side % dilation for side in (height, width))
    x_bchw = F.pad(x_bchw, (padding[1], padding[1] + right, padding[0], padding[0] + below))
    result_bchw = _joined(_filtered(_parted(x_bchw, dilation), filters_c1kk, 1, (0, 0), 1), dilation)
    reach = dilation * (filters_c1kk.shape[-1] - 1)
    return result_bchw[..., : height - reach, : width - reach]


def _parted(x_bchw: Tensor, step: int) -> Tensor:
    """(b, c, h, w) -> (step * step * b, c, h / step, w / step): every step-th pixel, from each place to begin at.

    Channels-last, because that is how the kernels are fastest.
    """
    b, c, h, w = x_bchw.shape
    pixels = x_bchw.permute(0, 2, 3, 1).reshape(b, h // step, step, w // step, step, c)
    parts = pixels.permute(2, 4, 0, 1, 3, 5).reshape(step * step * b, h // step, w // step, c)
    return parts.permute(0, 3, 1, 2)


def _joined(parts_nchw: Tensor, step: int) -> Tensor:
    """The opposite of `_parted`."""
    n, c, h, w = parts_nchw.shape
    b = n // (step * step)
    pixels = parts_nchw.permute(0, 2, 3, 1).reshape(step, step, b, h, w, c)
    whole = pixels.permute(2, 3, 0, 4, 1, 5).reshape(b, h * step, w * step, c)
    return whole.permute(0, 3, 1, 2)


def _filtered(x: Tensor, filters: Tensor, stride: int, padding: tuple[int, int], dilation: int) -> Tensor:
    if filters.shape[-1] <= _BLOCK and (stride == 1 or x.dtype != torch.bfloat16):
        return F.conv2d(x, filters, None, stride, padding, dilation, x.shape[1])
    result: Tensor = _Depthwise.apply(x, filters, stride, padding, dilation)  # type: ignore[no-untyped-call]
    return result


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, filters: Tensor, stride: int, padding: tuple[int, int], dilation: int) -> Tensor:
        ctx.save_for_backward(x, filters)
        ctx.how = stride, padding, dilation
        return F.conv2d(x, filters, None, stride, padding, dilation, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (g,), (x, filters) = gradients, ctx.saved_tensors
        of_image, of_filters = ctx.needs_input_grad[:2]
        return (
            _of_image(g, x, filters, *ctx.how) if of_image else None,
            _of_filters(g, x, filters, *ctx.how) if of_filters else None,
            None,
            None,
            None,
        )


def _of_image(g: Tensor, x: Tensor, filters: Tensor, stride: int, padding: tuple[int, int], dilation: int) -> Tensor:
    if stride > 1 and g.dtype == torch.bfloat16:
        form = torch.empty_like(x, dtype=torch.float32)  # nothing else is asked of the image
        return _of_image(g.float(), form, filters.float(), stride, padding, dilation).to(g.dtype)
    return _gradients(g, x, filters, stride, padding, dilation, (True, False))[0]


def _of_filters(g: Tensor, x: Tensor, filters: Tensor, stride: int, padding: tuple[int, int], dilation: int) -> Tensor:
    side = filters.shape[-1]
    if side <= _BLOCK or dilation > 1:
        return _gradients(g, x, filters, stride, padding, dilation, (False, True))[1]
    if any(padding):
        x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    height, width = ((out - 1) * stride + _BLOCK for out in g.shape[-2:])
    block, whole = filters[..., :_BLOCK, :_BLOCK].contiguous(), torch.empty_like(filters)
    places = sorted({*range(0, side - _BLOCK, _BLOCK), side - _BLOCK})
    for y in places:
        for left in places:
            seen = x[..., y : y + height, left : left + width]
            own = _gradients(g, seen, block, stride, (0, 0), 1, (False, True))[1]
            whole[..., y : y + _BLOCK, left : left + _BLOCK] = own
    return whole


def _gradients(
    g: Tensor,
    x: Tensor,
    filters: Tensor,
    stride: int,
    padding: tuple[int, int],
    dilation: int,
    wanted: tuple[bool, bool],
) -> tuple[Tensor, Tensor]:
    """Those that torch computes: of the image, of the filters."""
    how = [stride, stride], list(padding), [dilation, dilation], False, [0, 0], x.shape[1]
    of_image, of_filters, _ = torch.ops.aten.convolution_backward(g, x, filters, None, *how, [*wanted, False])
    return of_image, of_filters
