"""The camera: where it is at a frame, and the homography of every plane into its image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep.synthetic.planes import Doubles, Planes

NEAR = 0.2
"""Metres; nothing nearer is drawn."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that drives, sways and nods. Angles in radians, lengths in metres, time in frames."""

    height: int
    width: int
    focal: float
    """In image widths."""
    start: tuple[float, float, float]
    speed: float
    """Metres a frame."""
    turn: float
    """Radians a frame of steady yaw."""
    heading: float
    sway: tuple[tuple[float, float, float], ...]
    """(reach, rate, phase) of the oscillation of x, y, yaw, pitch and roll."""
    pitch: float

    def place(self, t: float) -> tuple[Doubles, Doubles]:
        """Centre (3,) and world-to-camera rotation (3, 3) at frame t."""
        x, y, yaw, pitch, roll = (reach * np.sin(rate * t + phase) for reach, rate, phase in self.sway)
        yaw, pitch = yaw + self.heading + self.turn * t, pitch + self.pitch
        centre = np.array(self.start) + np.array([x, y, self.speed * t])
        cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
        about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return centre, about_z @ about_x @ about_y


class View(NamedTuple):
    """All planes as the camera sees them at one frame."""

    to_image: Doubles
    """(s, 3, 3): (a, b, 1) -> z * (x, y, 1) with the depth z in metres."""
    to_plane: Doubles
    """(s, 3, 3), its inverse: (x, y, 1) -> (a, b, 1) / z."""
    boxes: NDArray[np.int64]
    """(s, 4): y0, y1, x0, x1 around the plane in the image, ends excluded."""
    shown: NDArray[np.int64]
    """The planes that may be seen, without the sky (plane 0)."""
    detail: NDArray[np.int64]
    """(s,) halvings of its texture until a texel is about as high as a pixel, at the middle of the plane."""


def look(camera: Camera, planes: Planes, t: float) -> View:
    """The view at frame t."""
    centre, rotation = camera.place(t)
    origin, across, down = planes.pose(t)
    offset = origin - centre * ~planes.endless[:, None]
    seen = np.einsum("ij,skj->sik", rotation, np.stack([across, down, offset], axis=1))
    focal = camera.focal * camera.width
    middle = (camera.width - 1) / 2, (camera.height - 1) / 2
    to_image = np.stack(
        [focal * seen[:, 0] + middle[0] * seen[:, 2], focal * seen[:, 1] + middle[1] * seen[:, 2], seen[:, 2]], axis=1
    )
    boxes = _boxes(to_image, camera.height, camera.width)
    turned_away = np.einsum("sk,sk->s", planes.outward, offset) > 0
    shown = (boxes[:, 0] < boxes[:, 1]) & (boxes[:, 2] < boxes[:, 3]) & ~turned_away & ~planes.endless
    depth = np.maximum(seen[:, 2] @ (0.5, 0.5, 1.0), NEAR)
    detail = np.log2(np.maximum(planes.texels_a_metre * depth / focal, 1)).astype(np.int64)
    return View(to_image, inverse(to_image), boxes, np.flatnonzero(shown), detail)


def inverse(matrices: Doubles) -> Doubles:
    """Inverses of (s, 3, 3), by cross products: the same bits on every machine."""
    a, b, c = (matrices[:, :, k] for k in range(3))
    rows = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    scale = np.einsum("sk,sk->s", a, rows[:, 0])
    return rows / np.where(np.abs(scale) < 1e-12, np.inf, scale)[:, None, None]


_CORNERS = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], np.float64)


def _boxes(to_image: Doubles, height: int, width: int) -> NDArray[np.int64]:
    """Boxes around the rectangles, after each edge was cut off at the near plane."""
    begin = np.einsum("sij,kj->ski", to_image, _CORNERS)
    end = np.roll(begin, -1, axis=1)
    z0, z1 = begin[..., 2], end[..., 2]
    rise = np.where(z1 == z0, 1.0, z1 - z0)
    cut = np.clip((NEAR - z0) / rise, 0, 1)[..., None]
    crossing = begin + cut * (end - begin)
    points = np.concatenate([np.where(z0[..., None] < NEAR, crossing, begin),
                             np.where(z1[..., None] < NEAR, crossing, end)], axis=1)  # fmt: skip
    z = points[..., 2]
    ahead = z > NEAR * 0.99
    xy = points[..., :2] / np.where(ahead, z, 1)[..., None]
    low = np.where(ahead[..., None], xy, np.inf).min(1)
    high = np.where(ahead[..., None], xy, -np.inf).max(1)
    limit = np.array([width, height])
    first = np.clip(np.ceil(low), 0, limit)
    last = np.clip(np.floor(high) + 1, 0, limit)
    return np.stack([first[:, 1], last[:, 1], first[:, 0], last[:, 0]], axis=1).astype(np.int64)
