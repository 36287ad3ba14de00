"""Which plane each pixel shows, what it looks like there, and where that point is at another frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep._synthetic_atlas import Floats
from data_prep._synthetic_camera import View
from data_prep._synthetic_planes import Doubles, Planes

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
    y, x = np.arange(height), np.arange(width)
    along_x = (view.to_plane[:, :, :1] * x).astype(np.float32)[:, :, None, :]
    along_y = (view.to_plane[:, :, 1:2] * y + view.to_plane[:, :, 2:]).astype(np.float32)[:, :, :, None]
    boxes = view.boxes.tolist()
    with np.errstate(all="ignore"):  # beside and behind a plane, (a, b) may be anything
        for s in view.shown.tolist():
            y0, y1, x0, x1 = boxes[s]
            here = nearness_hw[y0:y1, x0:x1]
            at = along_x[s, ..., x0:x1] + along_y[s, :, y0:y1]
            near = at[2]
            inside = at[:2] >= 0
            inside &= at[:2] <= near
            hit = near > here
            hit &= inside[0]
            hit &= inside[1]
            if planes.cut_out[s]:
                hit &= _covers(planes, view, s, at)
            np.copyto(here, near, where=hit)
            np.copyto(plane_hw[y0:y1, x0:x1], s, where=hit)
    return Buffer(plane_hw, nearness_hw)


def _covers(planes: Planes, view: View, s: int, at: Floats) -> NDArray[np.bool_]:
    """Where the shape of plane s covers the points at = (a, b, 1) / z; anything outside the rectangle."""
    shapes = planes.library.atlas.coverage[planes.texture[s]]
    level = min(int(view.detail[s]), len(shapes) - 1)
    shape = shapes[level]
    texels = (planes.texels[s, :2] / 2.0**level).astype(np.float32)
    place = at[:2] / at[2]
    place *= texels[[0, 1], [0, 1], None, None]
    place += texels[:, 2, None, None]
    column, row = place.astype(np.int32)
    column &= shape.shape[1] - 1
    row &= shape.shape[0] - 1
    found: NDArray[np.bool_] = shape[row, column]
    return found


def shade(planes: Planes, view: View, buffer: Buffer, palette: Floats) -> Floats:
    """Colours (3, h, w) of the planes seen, for palettes (s, 4, 3) that already hold the light."""
    height, width = buffer.plane_hw.shape
    seen = buffer.plane_hw
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    to_texel = np.einsum("sij,sjk->kis", planes.texels, view.to_plane).astype(np.float32).reshape(9, -1)
    m = np.take(to_texel, seen, axis=1, mode="clip")
    depth = 1 / (m[2] * x + m[5] * y + m[8])
    u = (m[0] * x + m[3] * y + m[6]) * depth
    v = (m[1] * x + m[4] * y + m[7]) * depth
    soft = np.abs(depth) * np.float32(SOFTNESS)
    wide_u, wide_v = (  # length of the gradient of u and of v in the image
        np.sqrt((m[k] - uv * m[2]) ** 2 + (m[k + 3] - uv * m[5]) ** 2) * soft for k, uv in ((0, u), (1, v))
    )
    at = (part.reshape(-1) for part in (u, v, wide_u, wide_v))
    weights = planes.library.atlas.sample(planes.texture[seen].reshape(-1), *at)
    lit = np.take(palette.reshape(-1, 12).T, seen, axis=1, mode="clip").reshape(4, 3, height, width)
    lit *= weights.T.reshape(4, 1, height, width)
    colours: Floats = lit.sum(0)
    return colours


def motion(
    view: View, other: View, buffer: Buffer, other_buffer: Buffer
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
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
