"""Textures that share one flat array, filtered along each axis apart: a road at a grazing angle stays sharp across.

A texel holds four weights instead of a colour: how much of each of a surface's four palette colours shows there (times
shading). One library of textures so serves every video, each with palettes of its own, and averaging texels is right.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

LEVELS = 8
"""Halvings of the longest axis + 1: textures are at most 128 texels wide and high."""
PALETTE = 4


class Texture(NamedTuple):
    """weights_hwp: float32 (h, w, 4), sides are powers of two. alpha_hw: float32 coverage in [0, 1]; None: opaque."""

    weights_hwp: Floats
    alpha_hw: Floats | None = None


def _halve(image: Floats, axis: int) -> Floats:
    if image.shape[axis] == 1:
        return image
    pairs = np.split(np.moveaxis(image, axis, 0).reshape(-1, 2, *np.delete(image.shape, axis)), 2, axis=1)
    return np.moveaxis((pairs[0][:, 0] + pairs[1][:, 0]) * np.float32(0.5), 0, axis)


class Atlas:
    """Every texture at every combination of a horizontal and a vertical halving ("ripmap"), and how to sample it."""

    def __init__(self, textures: list[Texture]) -> None:
        rows: list[Floats] = []
        self.first = np.zeros((len(textures), LEVELS, LEVELS), np.int64)
        """Where the texels of (texture, horizontal level, vertical level) begin."""
        self.log_size = np.zeros((len(textures), 2), np.int64)
        """log2 of (width, height)."""
        self.shapes: list[list[NDArray[np.bool_]]] = []
        """What is cut out of the plane, by halvings of both axes, with a margin of one texel; empty: nothing is."""
        begin = 0
        for k, texture in enumerate(textures):
            height, width = texture.weights_hwp.shape[:2]
            self.log_size[k] = width.bit_length() - 1, height.bit_length() - 1
            column = texture.weights_hwp
            for i in range(LEVELS):
                level = column
                for j in range(LEVELS):
                    if i <= self.log_size[k, 0] and j <= self.log_size[k, 1]:
                        rows.append(level.reshape(-1, PALETTE))
                        self.first[k, i, j] = begin
                        begin += len(rows[-1])
                        level = _halve(level, 0)
                column = _halve(column, 1)
            self.shapes.append(_shapes(texture.alpha_hw))
        self.texels = np.ascontiguousarray(np.concatenate(rows))

    def sample(self, texture: Ints, u: Floats, v: Floats, footprint_u: Floats, footprint_v: Floats) -> Floats:
        """Palette weights (n, 4) at texel coordinates u, v (n,), from the level that fits the footprints in texels."""
        level_u, log_width, columns = _axis(u, footprint_u, self.log_size[texture, 0])
        level_v, _, rows = _axis(v, footprint_v, self.log_size[texture, 1])
        begin = np.take(self.first.reshape(-1), (texture * LEVELS + level_u) * LEVELS + level_v)
        total = np.zeros((len(u), PALETTE), np.float32)
        for y, weight_y in rows:
            line = begin + (y << log_width)
            for x, weight_x in columns:
                texels = np.take(self.texels, line + x, axis=0, mode="clip")
                texels *= (weight_x * weight_y)[:, None]
                total += texels
        return total


def _shapes(alpha_hw: Floats | None) -> list[NDArray[np.bool_]]:
    if alpha_hw is None:
        return []
    levels = [alpha_hw]
    while min(levels[-1].shape) > 1:
        levels.append(_halve(_halve(levels[-1], 0), 1))
    return [np.pad(level >= 0.5, 1) for level in levels]


def _axis(at: Floats, footprint: Floats, log_size: Ints) -> tuple[Ints, Ints, list[tuple[Ints, Floats]]]:
    """Along one axis: the level nearest to the footprint, log2 of its size, and two texels there with their weights."""
    level = np.rint(np.log2(np.maximum(footprint, np.float32(1)))).astype(np.int64)
    np.minimum(level, log_size, out=level)
    log_here = log_size - level
    place = np.ldexp(at, -level.astype(np.int32)) - np.float32(0.5)
    below = np.floor(place)
    part = place - below
    last = (np.int64(1) << log_here) - 1
    index = below.astype(np.int64)
    return level, log_here, [(index & last, 1 - part), ((index + 1) & last, part)]
