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
        table[codes_of(np.array(color))] = index
    return table


def codes_of(colors: NDArray[np.generic]) -> NDArray[np.int32]:
    """Colours (..., 3) of 8 bits a channel as numbers of 24 bits (...)."""
    parts = colors.astype(np.int32)
    return (parts[..., 0] << 16) | (parts[..., 1] << 8) | parts[..., 2]


def ids_of_codes(codes_hw: NDArray[np.int32], ids: dict[RGB, int]) -> tuple[Label, NDArray[np.bool_]]:
    """Class ids (h, w) of colours as `codes_of` gives them, and where a colour is not in the table (255 there)."""
    found = _table(tuple(sorted(ids.items())))[codes_hw]
    unknown = found == _UNKNOWN
    found[unknown] = IGNORE
    return found, unknown


def ids_of_colors(colors_hw3: NDArray[np.generic], ids: dict[RGB, int]) -> tuple[Label, NDArray[np.bool_]]:
    """Class ids (h, w) of label colours by a table colour -> id, and where a colour is not in it (255 there)."""
    return ids_of_codes(codes_of(colors_hw3), ids)


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
