"""Which plane each pixel shows, what it looks like there, and where that point is at another frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep.synthetic.atlas import Floats
from data_prep.synthetic.camera import View
from data_prep.synthetic.planes import Doubles, Planes

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
    to_cell = view.to_plane.copy()
    to_cell[:, :2] *= planes.cells(view.detail)[:, :, None]
    to_cell[planes.cut_out, :2] += to_cell[planes.cut_out, 2:]  # past the margin of the shape
    along_x = (to_cell[:, :, :1] * np.arange(width)).astype(np.float32)[:, :, None, :]
    along_y = (to_cell[:, :, 1:2] * np.arange(height) + to_cell[:, :, 2:]).astype(np.float32)[:, :, :, None]
    boxes, shapes = view.boxes.tolist(), planes.shapes(view.detail)
    with np.errstate(all="ignore"):  # beside and behind a plane, (a, b) may be anything
        for s in view.shown.tolist():
            y0, y1, x0, x1 = boxes[s]
            here, shape = nearness_hw[y0:y1, x0:x1], shapes[s]
            at = along_x[s, :, :, x0:x1] + along_y[s, :, y0:y1]
            near = at[2]
            hit = near > here
            hit &= _in_rectangle(at) if shape is None else _in_shape(at, shape)
            np.copyto(here, near, where=hit)
            np.copyto(plane_hw[y0:y1, x0:x1], s, where=hit)
    return Buffer(plane_hw, nearness_hw)


def _in_rectangle(at: Floats) -> NDArray[np.bool_]:
    """Where 0 <= a, b <= 1, for at = (a, b, 1) / z."""
    inside = at[:2] >= 0
    inside &= at[:2] <= at[2]
    found: NDArray[np.bool_] = inside[0] & inside[1]
    return found


def _in_shape(at: Floats, shape: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the cell (column, row) of at = (column, row, 1) / z is set; the margin of the shape is not."""
    column, row = (at[:2] / at[2]).astype(np.int32)
    column.clip(0, shape.shape[1] - 1, out=column)
    row.clip(0, shape.shape[0] - 1, out=row)
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
    slack = 1e-6  # so that a pixel on the border that does not move stays inside
    inside = (
        (there_x >= -slack) & (there_x <= width - 1 + slack) & (there_y >= -slack) & (there_y <= height - 1 + slack)
    )
    shown = other_buffer.plane_hw[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return np.stack([there_x - x, there_y - y]).astype(np.float32), inside & (shown == seen)
