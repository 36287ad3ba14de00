"""The one warp: read each pixel of the new frame where its content was in the old one."""

from __future__ import annotations

import torch
from torch import Tensor


def _sources(flow_b2hw: Tensor) -> tuple[Tensor, Tensor]:
    """Where to read, (b, h, w) each: x + dx and y + dy. float32 at least: half precision is off by pixels at 2048.

    A flow that is not a number reads the first pixel, an infinite one the border.
    """
    flow = flow_b2hw if flow_b2hw.dtype == torch.float64 else flow_b2hw.float()
    h, w = flow.shape[-2:]
    xs = torch.arange(w, dtype=flow.dtype, device=flow.device)
    ys = torch.arange(h, dtype=flow.dtype, device=flow.device)[:, None]
    return (xs + flow[:, 0]).nan_to_num(nan=0.0), (ys + flow[:, 1]).nan_to_num(nan=0.0)


def _gather(x_bchw: Tensor, ys_bhw: Tensor, xs_bhw: Tensor) -> Tensor:
    """x at whole coordinates (floating dtype), clamped into the map."""
    b, c, h, w = x_bchw.shape
    index = ys_bhw.clamp(0, h - 1).long() * w + xs_bhw.clamp(0, w - 1).long()
    return x_bchw.flatten(2).gather(2, index.flatten(1)[:, None].expand(b, c, h * w)).view(b, c, h, w)


def warp(x_bchw: Tensor, flow_b2hw: Tensor) -> Tensor:
    """Backward warp, bilinear: out(y, x) = x_bchw at (y + flow[1], x + flow[0]), the border repeated outside.

    The flow is in pixels of the map, x first; output has the shape and dtype of `x_bchw`. The fractions come from the
    coordinates themselves and each of the four corners is clamped, so that a zero flow at the border has a one-sided
    gradient there (the released kernel's rule); `grid_sample` has none.
    """
    xs, ys = _sources(flow_b2hw)
    x0, y0 = xs.detach().floor(), ys.detach().floor()
    fx, fy = (xs - x0)[:, None], (ys - y0)[:, None]
    top = (1 - fx) * _gather(x_bchw, y0, x0) + fx * _gather(x_bchw, y0, x0 + 1)
    bottom = (1 - fx) * _gather(x_bchw, y0 + 1, x0) + fx * _gather(x_bchw, y0 + 1, x0 + 1)
    return ((1 - fy) * top + fy * bottom).to(x_bchw.dtype)


def warp_nearest(ids_bhw: Tensor, flow_b2hw: Tensor) -> Tensor:
    """Backward warp of class ids (b, h, w), any integer dtype: the nearest pixel (halves to even), border repeated."""
    xs, ys = _sources(flow_b2hw)
    return _gather(ids_bhw[:, None], ys.round(), xs.round())[:, 0]
