"""Masks as COCO has them: run lengths down the columns, plain or as text, and polygons.

Counts are lengths of runs in column order, beginning with a run of zeros (perhaps of length 0). Their text is a base-32
code of 6 bits a character, from "0" on: 5 bits of a signed number, lowest first, and whether more follow; from the
third count on (the fourth in all) the difference to the count two before it stands there.

A polygon is painted as COCO's own tool paints it (Lin et al., 2014, `rleFrPoly` of maskApi.c): its outline is followed
at five times the size, and a pixel is inside where an odd number of its crossings lie above the pixel in its column.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.limits import limit, raised
from ifrkit.labels._shapes import Part, part_around

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]

_SCALE = 5
_STRETCH = 1 << 20
"""Points of an outline that are held at a time."""
_PIXELS_A_POINT = 32
"""The limit on points is one on the length of an outline, too."""
_MOST_CHARACTERS = 7
"""Of one count: seven times five bits hold every image."""


def counts_of(mask_hw: Mask) -> Counts:
    """The run lengths of a mask."""
    flat = mask_hw.T.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    begin = [0] if flat.size and flat[0] else []
    edges = np.array([0, *begin, *ends.tolist(), flat.size], np.int64)
    return edges[1:] - edges[:-1]


def mask_of(counts: Counts, size: tuple[int, int]) -> Part:
    """The mask of these run lengths in a frame (height, width). Raises ValueError where they do not fill it exactly."""
    if counts.ndim != 1 or (counts < 0).any() or (counts > size[0] * size[1]).any():
        raise ValueError("run lengths that are none")
    if int(counts.sum()) != size[0] * size[1]:
        raise ValueError(f"run lengths of {int(counts.sum())} pixels, expected {size[0] * size[1]}")
    ends = counts.cumsum()
    shown = np.flatnonzero(counts[1::2]) * 2 + 1
    if not len(shown):
        return Part(np.zeros((1, 1), np.bool_), (0, 0))
    height = size[0]
    begins, lasts = ends[shown] - counts[shown], ends[shown] - 1
    left, right = int(begins[0]) // height, int(lasts[-1]) // height + 1
    edges = np.clip(ends, left * height, right * height)
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, np.diff(edges, prepend=left * height))
    columns = flat.reshape(right - left, height)
    if (begins // height != lasts // height).any():
        return Part(columns.T, (0, left))
    top, bottom = int((begins % height).min()), int((lasts % height).max()) + 1
    return Part(columns[:, top:bottom].T, (top, left))


def text_of(counts: Counts) -> str:
    """Counts as COCO's text."""
    rest = counts.copy()
    rest[3:] -= counts[1:-2]
    characters = np.zeros((len(counts), _MOST_CHARACTERS), np.uint8)
    used = np.zeros(characters.shape, np.bool_)
    going = np.ones(len(counts), np.bool_)
    for place in range(_MOST_CHARACTERS):
        low = rest & 31
        rest >>= 5
        more = going & np.where(low & 16, rest != -1, rest != 0)
        characters[:, place], used[:, place] = low + 32 * more + 48, going
        going = more
    return characters[used].tobytes().decode()


def counts_of_text(text: str) -> Counts:
    """Counts of COCO's text. Raises ValueError for a text that is none."""
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if codes.size == 0 or (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        raise ValueError("a run-length text that is none")
    ends = np.flatnonzero(codes & 32 == 0)
    begins = np.concatenate([[0], ends[:-1] + 1])
    length = ends - begins + 1
    if length.max() > _MOST_CHARACTERS:
        raise ValueError("a run-length text that is none")
    place = np.arange(codes.size) - np.repeat(begins, length)
    counts = np.add.reduceat((codes & 31) << 5 * place, begins)
    counts -= np.where(codes[ends] & 16, 1 << 5 * length, 0)  # its highest bit is the sign
    for first in (1, 2):  # each chain of differences begins with a count as it is
        counts[first::2] = np.cumsum(counts[first::2])
    return counts


def polygon_mask(points: list[tuple[float, float]], size: tuple[int, int]) -> Part:
    """A polygon (x, y) of pixels in a frame (height, width), cut at the borders.

    Raises ValueError for an outline that is too long to be a drawing: it is followed step by step.
    """
    corners = np.trunc(_SCALE * np.array(points) + 0.5).astype(np.int64)
    long = int(np.abs(np.roll(corners, -1, 0) - corners).max(1).sum()) // _SCALE
    if long > (most := _PIXELS_A_POINT * limit("POINTS")):
        raise ValueError(f"an outline of {long} pixels, longer than {most}; {raised('POINTS')}")
    (top, left), (height, width) = part_around(corners // _SCALE, size, 1)
    crossed = np.zeros(height * width + 1, np.int64)
    for part in _outline(corners):
        u, v = part.T
        column = (np.minimum(u[1:], u[:-1]) + 0.5) / _SCALE - 0.5 - left
        row = (np.minimum(v[1:], v[:-1]) + 0.5) / _SCALE - 0.5 - top
        crossing = (u[1:] != u[:-1]) & (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
        place = column[crossing].astype(np.int64) * height + np.ceil(row[crossing].clip(0, height)).astype(np.int64)
        crossed += np.bincount(place, minlength=height * width + 1)
    inside: Mask = crossed[:-1].cumsum() % 2 == 1
    return Part(inside.reshape(width, height).T, (top, left))


def _outline(corners: Counts) -> Iterator[Counts]:
    """The points (n, 2) of a closed outline, one a step of the longer side of each line, in stretches.

    Each line has both its ends; each stretch begins where the one before ends.
    """
    lines = np.stack([corners, np.roll(corners, -1, 0)], 1)
    tall = np.abs(lines[:, 1] - lines[:, 0]).argmax(1) == 1
    lines[tall] = lines[tall, :, ::-1]
    turned = lines[:, 0, 0] > lines[:, 1, 0]
    lines[turned] = lines[turned, ::-1]
    steps, rise = (lines[:, 1] - lines[:, 0]).T
    slope, ends = rise / np.maximum(steps, 1), np.cumsum(steps + 1)
    for first in range(0, int(ends[-1]), _STRETCH):
        place = np.arange(max(first - 1, 0), min(first + _STRETCH, int(ends[-1])))
        line = np.searchsorted(ends, place, "right")
        step = place - ends[line] + steps[line] + 1
        step = np.where(turned[line], steps[line] - step, step)
        across = np.trunc(lines[line, 0, 1] + slope[line] * step + 0.5)
        points = np.stack([lines[line, 0, 0] + step, across.astype(np.int64)], 1)
        points[tall[line]] = points[tall[line], ::-1]
        yield points
