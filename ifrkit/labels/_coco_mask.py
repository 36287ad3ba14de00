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


def mask_of(counts: Counts, size: tuple[int, int]) -> Mask:
    """The mask of these run lengths, (height, width). Raises ValueError where they do not fill it exactly."""
    if counts.ndim != 1 or (counts < 0).any() or (counts > size[0] * size[1]).any():
        raise ValueError("run lengths that are none")
    if int(counts.sum()) != size[0] * size[1]:
        raise ValueError(f"run lengths of {int(counts.sum())} pixels, expected {size[0] * size[1]}")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(size[1], size[0]).T


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


def polygon_mask(points: list[tuple[float, float]], size: tuple[int, int]) -> Mask:
    """A polygon (x, y) of pixels as a mask (height, width), cut at the borders.

    Raises ValueError for an outline that is too long to be a drawing: it is followed step by step.
    """
    height, width = size
    corners = np.trunc(_SCALE * np.array(points) + 0.5).astype(np.int64)
    long = int(np.abs(np.roll(corners, -1, 0) - corners).max(1).sum()) // _SCALE
    if long > (most := _PIXELS_A_POINT * limit("POINTS")):
        raise ValueError(f"an outline of {long} pixels, longer than {most}; {raised('POINTS')}")
    crossed = np.zeros(height * width + 1, np.int64)
    for part in _outline(corners):
        u, v = part.T
        column = (np.minimum(u[1:], u[:-1]) + 0.5) / _SCALE - 0.5
        row = (np.minimum(v[1:], v[:-1]) + 0.5) / _SCALE - 0.5
        crossing = (u[1:] != u[:-1]) & (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
        place = column[crossing].astype(np.int64) * height + np.ceil(row[crossing].clip(0, height)).astype(np.int64)
        crossed += np.bincount(place, minlength=height * width + 1)
    inside: Mask = crossed[:-1].cumsum() % 2 == 1
    return inside.reshape(width, height).T


def _outline(corners: Counts) -> Iterator[Counts]:
    """The points (n, 2) of a closed outline, in stretches that each begin where the one before ends."""
    held: list[Counts] = []
    count = 0
    for start, stop in zip(corners, np.roll(corners, -1, 0), strict=True):
        for part in _edge(start, stop):
            held.append(part)
            count += len(part)
            if count > _STRETCH:
                yield np.concatenate(held)
                held, count = [part[-1:]], 1
    yield np.concatenate(held)


def _edge(start: Counts, stop: Counts) -> Iterator[Counts]:
    """The points (n, 2) of a straight line, both ends among them, one a step of its longer side, in stretches."""
    longer = 0 if abs(stop[0] - start[0]) >= abs(stop[1] - start[1]) else 1
    turned = start[longer] > stop[longer]
    begin, end = (stop, start) if turned else (start, stop)
    steps = int(end[longer] - begin[longer])
    firsts = range(0, max(steps, 1), _STRETCH)
    for first in reversed(firsts) if turned else firsts:
        along = np.arange(first, min(first + _STRETCH, steps) + 1)
        across = np.trunc(begin[1 - longer] + (end[1 - longer] - begin[1 - longer]) / max(steps, 1) * along + 0.5)
        line = np.stack([begin[longer] + along, across.astype(np.int64)], 1)
        if longer == 1:
            line = line[:, ::-1]
        yield line[::-1] if turned else line
