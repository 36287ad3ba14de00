"""A label on its way through a video: each frame's pixels are looked up in the labeled frame, along the flow.

What is carried are places in the labeled frame, never the label itself, so that a label is not blurred by being
resampled a hundred times, and every frame can be compared with the labeled one directly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.lazy import cv2
from ifrkit.core.records import IGNORE, Frame, Label, PairFlow

Map = NDArray[np.float32]

KEEP = 0.995
"""Confidence that is left after one frame, where nothing else speaks against it."""
SIGMA = 20.0
"""Grey levels between the carried and the seen picture at which half of the confidence is left."""
WINDOW = 5
"""Pixels, of the square over which pictures are compared."""


GAIN = (0.5, 2.0)
"""How much contrast may change with the light. Without bounds any flat picture would look like every other one."""


class Carried(NamedTuple):
    """A label as it arrives in a frame.

    ids_hw: 255 where it is unknown. confidence_hw: from 0 to 1, 0 where it is unknown. explained: the share of the
    frame whose pixels come from the labeled frame and look as they do there.
    """

    ids_hw: Label
    confidence_hw: Map
    explained: float


class Carrier:
    """Carries one label, frame by frame, in either direction."""

    def __init__(self, label_hw: Label, frame_hw3: Frame) -> None:
        """label_hw: 255 where nothing is known. frame_hw3: the labeled frame."""
        height, width = label_hw.shape
        self._label, self._frame = label_hw, frame_hw3
        self._y, self._x = np.mgrid[:height, :width].astype(np.float32)
        self._place = np.stack([self._x, self._y])
        self._alive = np.ones(label_hw.shape, np.bool_)
        self.steps = 0

    def step(self, frame_hw3: Frame, flow: PairFlow) -> Carried:
        """The next frame. flow: of that frame to the frame before it on the way."""
        height, width = self._label.shape
        x, y = self._x + flow.flow_2hw[0], self._y + flow.flow_2hw[1]
        nearest_x = np.rint(np.nan_to_num(x)).clip(0, width - 1).astype(np.intp)
        nearest_y = np.rint(np.nan_to_num(y)).clip(0, height - 1).astype(np.intp)
        # The nearest pixel's place, moved by the rest: places of two things are never mixed at their border.
        rest = np.stack([x - nearest_x, y - nearest_y])
        place_2hw = self._place[:, nearest_y, nearest_x] + rest
        inside = (place_2hw > -0.5).all(0) & (place_2hw[0] < width - 0.5) & (place_2hw[1] < height - 0.5)
        self._alive = self._alive[nearest_y, nearest_x] & flow.consistent_hw & inside
        self._place = np.where(self._alive, place_2hw, 0).astype(np.float32)
        self.steps += 1
        return self._arrived(frame_hw3)

    def _arrived(self, frame_hw3: Frame) -> Carried:
        likeness_hw = self._likeness(frame_hw3)
        column, row = np.rint(self._place).astype(np.intp)
        ids_hw = np.where(self._alive, self._label[row, column], IGNORE).astype(np.uint8)
        confidence_hw = np.where(ids_hw == IGNORE, 0, KEEP**self.steps * likeness_hw).astype(np.float32)
        explained = float((self._alive & (likeness_hw > 0.5)).mean())
        return Carried(ids_hw, confidence_hw, explained)

    def _likeness(self, frame_hw3: Frame) -> Map:
        """From 1, the pixel looks as in the labeled frame, to 0. A change of the whole light does not count."""
        border = cv2.BORDER_REPLICATE
        carried = cv2.remap(self._frame, self._place[0], self._place[1], cv2.INTER_LINEAR, borderMode=border)
        difference = frame_hw3 - _relit(carried.astype(np.float32), frame_hw3, self._alive)
        alive = self._alive.astype(np.float32)  # only what came this far is compared
        total, count = (cv2.blur(x, (WINDOW, WINDOW)) for x in (np.abs(difference).mean(2) * alive, alive))
        error = total / np.maximum(count, 1 / WINDOW**2)
        return np.asarray(1 / (1 + (error / SIGMA) ** 2), np.float32)


def _relit(picture_hw3: Map, like_hw3: Frame, where_hw: NDArray[np.bool_]) -> Map:
    """A picture in the light of another one: contrast and brightness of each channel, fitted where both can be seen."""
    if not where_hw.any():
        return picture_hw3
    own, other = picture_hw3[where_hw], like_hw3[where_hw].astype(np.float32)
    own_mean, other_mean = own.mean(0), other.mean(0)
    spread = ((own - own_mean) ** 2).mean(0)
    together = ((own - own_mean) * (other - other_mean)).mean(0)
    gain = np.where(spread > 1, together / np.maximum(spread, 1), 1).clip(*GAIN)
    return np.asarray(picture_hw3 * gain + np.median(other - own * gain, axis=0), np.float32)
