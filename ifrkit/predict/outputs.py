"""What `predict` writes for a video: palette PNGs, and the frames with the classes' colours over them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ifrkit.core.encoding import is_utf8, readable
from ifrkit.core.errors import ArtifactError, ResourceError
from ifrkit.core.records import Frame
from ifrkit.metrics.base import Ids


def load_label(path: Path) -> Ids:
    """The ids of a PNG that `save_label` wrote. Raises ArtifactError if it is gone or damaged."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.verify()  # the checksums, which decoding does not look at
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise ArtifactError(f"{path} is damaged", "predict the video again") from error


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
        if not is_utf8(str(path)):
            fault = f"{readable(str(path))}: OpenCV cannot write to a place whose name is not UTF-8"
            raise ResourceError(fault, "name another place with --workspace or --out")
        self._video: Any = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, even)
        self._last: NDArray[np.uint8] | None = None
        self._path, self._written = path, 0
        if not self._video.isOpened():
            fault = f"{path}: OpenCV cannot write an mp4 of {even[1]}x{even[0]} pixels here"
            raise ResourceError(fault, "--set overlay=0 writes the label images alone")

    def write(self, frame: Frame | None, ids_hw: Ids | None) -> None:
        """The next picture; without a frame (it was broken) the one before again, so that time stays right."""
        if frame is not None and ids_hw is not None:
            self._last = self._drawn(frame, ids_hw)
        if self._last is not None:
            self._video.write(self._last)
            self._written += 1

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

    def __enter__(self) -> Overlay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close()
        if kind is None and self._written:
            self._check()

    def _check(self) -> None:
        """OpenCV tells of no failed write, as on a full disk; but the index comes last, and is missing then."""
        video = cv2.VideoCapture(str(self._path))
        found = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        video.release()
        if found != self._written:
            fault = f"{self._path}: {found} of {self._written} frames could be written"
            raise ResourceError(fault, "free some space, then run again with --resume")
