"""Bands along the contours of a map: the pixels near a pixel of another class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.core.lazy import cv2, np
from ifrkit.core.records import IGNORE
from ifrkit.metrics.base import Ids

if TYPE_CHECKING:
    from numpy.typing import NDArray


def band(ids_hw: Ids, width: int) -> NDArray[np.bool_]:
    """(h, w) bool: within `width` pixels (king's moves) lies a pixel of another class. 255 is of no class."""
    # Between the lowest and the highest id of its window a pixel sees whether there is more than one.
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    known = ids_hw != IGNORE
    lowest = cv2.erode(ids_hw, window)
    highest = cv2.dilate(np.where(known, ids_hw, 0).astype(np.uint8), window)
    near: NDArray[np.bool_] = known & (lowest < highest)
    return near


def edges(size: tuple[int, int], width: int) -> NDArray[np.bool_]:
    """(h, w) bool: the pixels within `width` pixels of what is outside the picture."""
    outside = np.ones(size, bool)
    outside[width : size[0] - width, width : size[1] - width] = False
    return outside
