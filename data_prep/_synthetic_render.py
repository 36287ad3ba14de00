"""Which plane each pixel shows, what it looks like there, and where that point is at another frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep._synthetic_atlas import Floats
from data_prep._synthetic_camera import Doubles, View
from data_prep._synthetic_planes import Planes

SOFTNESS = 1.1
"""Texture filter widths in pixels: above 1, so that a frame warped to the next one reproduces it."""


class Buffer(NamedTuple):
    """plane_hw: index of the plane seen. nearness_hw: 1 / depth in 1 / m, 0 for the sky."""

    plane_hw: NDArray[np.int64]
    nearness_hw: Floats


def rasterise(planes: Planes, view: View, height: int, width: int) -> Buffer:
    """The nearest plane under every pixel centre; cut-out shapes count where the texture covers."""
    plane_hw = np.zeros((height, width), np.int64)
    nearness_hw = np.zeros((height, width), np.float32)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    to_plane = view.to_plane.astype(np.float32)
    for s in np.flatnonzero((view.boxes[:, 0] < view.boxes[:, 1]) & (view.boxes[:, 2] < view.boxes[:, 3])):
        if s == 0:
            continue
        y0, y1, x0, x1 = view.boxes[s]
        here = slice(y0, y1), slice(x0, x1)
        a, b, near = (m[0] * x[:, x0:x1] + (m[1] * y[y0:y1] + m[2]) for m in to_plane[s])
        hit = (near > nearness_hw[here]) & (a >= 0) & (a <= near) & (b >= 0) & (b <= near)
        shapes = planes.library.atlas.coverage[planes.texture[s]]
        if shapes:
            _cut_out(hit, a, b, near, planes, int(s), shapes)
        np.copyto(nearness_hw[here], near, where=hit)
        plane_hw[here][hit] = s
    return Buffer(plane_hw, nearness_hw)


def _cut_out(
    hit: NDArray[np.bool_], a: Floats, b: Floats, near: Floats, planes: Planes, s: int, shapes: list[NDArray[np.bool_]]
) -> None:
    """Clears `hit` where the texture of plane s does not cover."""
    rows, columns = np.nonzero(hit)
    if not len(rows):
        return
    depth = 1 / near[rows, columns]
    scale = planes.texels[s].astype(np.float32)
    u = a[rows, columns] * depth * scale[0, 0] + scale[0, 2]
    v = b[rows, columns] * depth * scale[1, 1] + scale[1, 2]
    texels_a_pixel = float(np.ptp(v)) / max(int(np.ptp(rows)), 1)
    level = min(max(int(np.log2(max(texels_a_pixel, 1.0))), 0), len(shapes) - 1)
    shape = shapes[level]
    height, width = shape.shape
    inside = shape[(v.astype(np.int64) >> level) % height, (u.astype(np.int64) >> level) % width]
    hit[rows, columns] = inside


def shade(planes: Planes, view: View, buffer: Buffer, palette: Floats) -> Floats:
    """Colours (h, w, 3) of the planes seen, for palettes (s, 4, 3) that already hold the light."""
    height, width = buffer.plane_hw.shape
    seen = buffer.plane_hw.reshape(-1)
    y, x = (g.reshape(-1).astype(np.float32) for g in np.mgrid[0:height, 0:width])
    to_texel = np.einsum("sij,sjk->ski", planes.texels, view.to_plane).astype(np.float32).reshape(-1, 9)
    m = np.ascontiguousarray(to_texel.T)[:, seen]
    depth = 1 / (m[2] * x + m[5] * y + m[8])
    u = (m[0] * x + m[3] * y + m[6]) * depth
    v = (m[1] * x + m[4] * y + m[7]) * depth
    soft = np.abs(depth) * np.float32(SOFTNESS)
    wide_u = np.hypot(m[0] - u * m[2], m[3] - u * m[5]) * soft
    wide_v = np.hypot(m[1] - v * m[2], m[4] - v * m[5]) * soft
    weights = planes.library.atlas.sample(planes.texture[seen], u, v, wide_u, wide_v)
    colours = np.take(palette.reshape(-1, 12), seen, axis=0).reshape(-1, 4, 3)
    return np.einsum("nk,nkc->nc", weights, colours).reshape(height, width, 3)


def motion(view: View, other: View, buffer: Buffer, other_buffer: Buffer) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Exact flow (2, h, w) from one frame to another, and where the other frame shows the same plane at that place."""
    height, width = buffer.plane_hw.shape
    seen = buffer.plane_hw
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    chain: Doubles = np.einsum("sij,sjk->ski", other.to_image, view.to_plane).reshape(-1, 9)
    m = np.ascontiguousarray(chain.T)[:, seen]
    depth = m[2] * x + m[5] * y + m[8]
    ahead = depth > 1e-6
    scale = 1 / np.where(ahead, depth, 1)
    there_x = np.where(ahead, (m[0] * x + m[3] * y + m[6]) * scale, -1e4)
    there_y = np.where(ahead, (m[1] * x + m[4] * y + m[7]) * scale, -1e4)
    column, row = np.rint(there_x).astype(np.int64), np.rint(there_y).astype(np.int64)
    inside = (there_x >= 0) & (there_x <= width - 1) & (there_y >= 0) & (there_y <= height - 1)
    shown = other_buffer.plane_hw[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return np.stack([there_x - x, there_y - y]).astype(np.float32), inside & (shown == seen)
