"""The one warp: read each pixel of the new frame where its content was in the old one."""

from __future__ import annotations

import torch
from torch import Tensor


def _sources(flow_b2hw: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Where to read, (b, h, w) each: x + dx and y + dy.

    A flow that is not a number reads the first pixel of its axis, an infinite one the border.
    """
    flow = flow_b2hw.to(dtype)
    h, w = flow.shape[-2:]
    xs = torch.arange(w, dtype=dtype, device=flow.device)
    ys = torch.arange(h, dtype=dtype, device=flow.device)[:, None]
    return (xs + flow[:, 0]).nan_to_num(nan=0.0), (ys + flow[:, 1]).nan_to_num(nan=0.0)


def _gather(x_bchw: Tensor, ys_bhw: Tensor, xs_bhw: Tensor) -> Tensor:
    """x at whole coordinates (floating dtype), clamped into the map."""
    b, c, h, w = x_bchw.shape
    index = ys_bhw.clamp(0, h - 1).long() * w + xs_bhw.clamp(0, w - 1).long()
    return x_bchw.flatten(2).gather(2, index.view(b, 1, h * w).expand(b, c, h * w)).view(b, c, h, w)


def warp(x_bchw: Tensor, flow_b2hw: Tensor) -> Tensor:
    """Backward warp, bilinear: out(y, x) = x_bchw at (y + flow[1], x + flow[0]), the border repeated outside.

    The flow (b, 2, h, w) is in pixels of the map, x first; the output has the shape and dtype of `x_bchw`. Fractions
    come from the coordinates as they are and each of the four corners is clamped, which is the rule of the released
    kernel. `grid_sample` gives the same values, but at coordinates that are whole numbers (a flow of zero) its gradient
    is that of one side or the other by rounding, and nothing at all at the border.
    """
    # Half precision would be off by whole pixels at x = 2048.
    dtype = torch.promote_types(torch.promote_types(x_bchw.dtype, flow_b2hw.dtype), torch.float32)
    xs, ys = _sources(flow_b2hw, dtype)
    x0, y0 = xs.detach().floor(), ys.detach().floor()
    fx, fy = (xs - x0)[:, None], (ys - y0)[:, None]
    top = torch.lerp(_gather(x_bchw, y0, x0).to(dtype), _gather(x_bchw, y0, x0 + 1).to(dtype), fx)
    bottom = torch.lerp(_gather(x_bchw, y0 + 1, x0).to(dtype), _gather(x_bchw, y0 + 1, x0 + 1).to(dtype), fx)
    return torch.lerp(top, bottom, fy).to(x_bchw.dtype)


def warp_nearest(ids_bhw: Tensor, flow_b2hw: Tensor) -> Tensor:
    """Backward warp of class ids (b, h, w), any integer dtype: the nearest pixel (halves to even), border repeated."""
    xs, ys = _sources(flow_b2hw, torch.promote_types(flow_b2hw.dtype, torch.float32))
    return _gather(ids_bhw[:, None], ys.round(), xs.round())[:, 0]
