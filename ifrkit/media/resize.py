"""Resizing of frames and labels as the released code does it (OpenCV's rules).

At an exact factor of 2 a frame's pixel is (sum of the 2x2 block + 2) >> 2, and a label's pixel is the top-left one.
"""

from __future__ import annotations

import cv2
import numpy as np

from ifrkit.core.records import Frame, Label


def resize_frame(frame: Frame, size: tuple[int, int]) -> Frame:
    """A frame (h, w, 3) at size (height, width), bilinear."""
    return frame if frame.shape[:2] == size else np.asarray(_resize(frame, size, cv2.INTER_LINEAR), np.uint8)


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """This share of a (height, width), rounded."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize_label(label: Label, size: tuple[int, int]) -> Label:
    """A label (h, w) at size (height, width), nearest: pixel (y, x) is (floor(y * H / h), floor(x * W / w)) there."""
    return label if label.shape == size else np.asarray(_resize(label, size, cv2.INTER_NEAREST), np.uint8)


def _resize(image: Frame, size: tuple[int, int], interpolation: int) -> cv2.typing.MatLike:
    height, width = size
    return cv2.resize(image, (width, height), interpolation=interpolation)
