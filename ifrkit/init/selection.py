"""Frames that differ: features of frames, and the greedy k-center choice among them.

The choice is that of Gonzalez (1985), used on network features to choose what to label by Sener and Savarese (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.lazy import cv2
from ifrkit.core.records import Frame

Vector = NDArray[np.float32]

_THUMBNAIL = 8
"""Colours are compared in so many rows and columns."""


class Features(Protocol):
    """From a frame of any size to a vector; frames that look alike get vectors that lie close together."""

    def __call__(self, frame: Frame) -> Vector: ...


def colors(frame: Frame) -> Vector:
    """The frame as a thumbnail of 8x8 mean colours in CIE L*a*b*, where distances are about as large as they look."""
    # As float32: L from 0 to 100, a and b up to about 100 on both sides of 0.
    small = cv2.resize(frame, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32).ravel()


def k_center(features_nd: NDArray[np.float32], count: int, chosen: Sequence[int] = ()) -> list[int]:
    """`count` rows such that no row is far from all of them: each is the one farthest from those before.

    chosen: rows that count as chosen already and are not in the result; without any, the first is the row closest to
    the mean. Of equals the first is taken, so the result depends on nothing but the rows, and a larger count only adds
    to it. Rows equal to a chosen one are never taken: there may be fewer than `count`.
    """
    distance = np.full(len(features_nd), np.inf)
    for row in chosen:
        distance = np.minimum(distance, np.linalg.norm(features_nd - features_nd[row], axis=1))
    result: list[int] = []
    while len(result) < min(count, len(features_nd)):
        if chosen or result:
            row = int(distance.argmax())
            if distance[row] <= 0:
                break
        else:
            row = int(np.linalg.norm(features_nd - features_nd.mean(0), axis=1).argmin())
        result.append(row)
        distance = np.minimum(distance, np.linalg.norm(features_nd - features_nd[row], axis=1))
    return result
