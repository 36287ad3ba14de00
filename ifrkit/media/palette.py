"""Label images in colour: one table look-up a pixel, and which colours nobody knows."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.records import IGNORE, Label, LabelSpace

RGB = tuple[int, int, int]
_UNKNOWN = 254


@cache
def _table(ids: tuple[tuple[RGB, int], ...]) -> NDArray[np.uint8]:
    """Class id of every 24-bit colour; 254 for the unknown ones. 16 MiB, once a process."""
    table = np.full(1 << 24, _UNKNOWN, np.uint8)
    for color, index in ids:
        table[_code(np.array(color))] = index
    return table


def _code(colors: NDArray[np.int64]) -> NDArray[np.int64]:
    return (colors[..., 0] << 16) | (colors[..., 1] << 8) | colors[..., 2]


def ids_of_colors(colors_hw3: NDArray[np.int64], ids: dict[RGB, int]) -> tuple[Label, NDArray[np.bool_]]:
    """Class ids (h, w) of label colours by a table colour -> id, and where a colour is not in it (255 there)."""
    found = _table(tuple(sorted(ids.items())))[_code(colors_hw3)]
    unknown = found == _UNKNOWN
    found[unknown] = IGNORE
    return found, unknown


def distinct_colors(count: int) -> tuple[RGB, ...]:
    """Colours for classes that come without any: the classic scheme that spreads the bits of the id over R, G and B."""
    colors = []
    for index in range(1, count + 1):
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colors.append((channels[0], channels[1], channels[2]))
    return tuple(colors)


def id_colors(labels: LabelSpace) -> NDArray[np.uint8]:
    """RGB of every id, (256, 3); ids without a class are black."""
    colors = np.zeros((256, 3), np.uint8)
    colors[: labels.num_classes] = labels.colors
    return colors
