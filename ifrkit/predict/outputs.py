"""What `predict` writes for a video: palette PNGs, and the frames with the classes' colours over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ifrkit.core.errors import ResourceError
from ifrkit.core.records import Frame
from ifrkit.metrics.base import Ids


def load_label(path: Path) -> Ids:
    """The ids of a PNG that `save_label` wrote."""
    with Image.open(path) as image:
        return np.asarray(image)


class Overlay:
    """An mp4 (MPEG-4 part 2, what every OpenCV can write) of frames with colours over them. Close it, or it is lost.

    opacity: of the colours, 0 to 1. An odd height or width gets one more row or column, the last one again: the codec
    takes even sizes only.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: float, colors: NDArray[np.uint8], opacity: float
    ) -> None:
        self._opacity, self._odd = opacity, (size[0] % 2, size[1] % 2)
        self._table = np.ascontiguousarray(colors[:, None, ::-1])
        even = size[1] + self._odd[1], size[0] + self._odd[0]
        # MPEG-4 counts time in at most 65535ths of a second.
        rate = round(fps, 3 if fps < 65 else 2 if fps < 655 else 0)
        self._video: Any = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, even)
        self._last: NDArray[np.uint8] | None = None
        if not self._video.isOpened():
            fault = f"{path}: OpenCV cannot write an mp4 of {even[1]}x{even[0]} pixels here"
            raise ResourceError(fault, "--set overlay=0 writes the label images alone")

    def write(self, frame: Frame | None, ids_hw: Ids | None) -> None:
        """The next picture; without a frame (it was broken) the one before again, so that time stays right."""
        if frame is not None and ids_hw is not None:
            self._last = self._drawn(frame, ids_hw)
        if self._last is not None:
            self._video.write(self._last)

    def _drawn(self, frame: Frame, ids_hw: Ids) -> NDArray[np.uint8]:
        colored_bgr = cv2.LUT(cv2.merge([ids_hw, ids_hw, ids_hw]), self._table)
        frame_bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        picture = cv2.addWeighted(colored_bgr, self._opacity, frame_bgr, 1 - self._opacity, 0)
        if any(self._odd):
            picture = cv2.copyMakeBorder(picture, 0, self._odd[0], 0, self._odd[1], cv2.BORDER_REPLICATE)
        return np.asarray(picture, np.uint8)

    def close(self) -> None:
        """Write the index of the file, without which no player opens it."""
        self._video.release()
