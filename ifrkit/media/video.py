"""Frames of video files by exact number."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import cv2
from ifrkit.core.records import Frame

SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".mxf", ".m4v", ".webm", ".mpg"})
"""What counts as a video file (lower case)."""


@cache
def video_size(path: Path) -> tuple[int, int]:
    """(height, width) of a video file's frames; decodes the first one, once a process."""
    height, width = VideoReader(path).read(0).shape[:2]
    return height, width


class VideoReader:
    """Frame k of a video file is the (k + 1)-th that OpenCV decodes from its beginning.

    Seeking lands on the wrong frame in many files, so this only ever decodes forward and starts again for an earlier
    frame: cheap for ascending numbers. It holds one frame, opens the file when first asked, and pickles as its path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._capture: Any = None
        self._next = 0
        self._last: tuple[int, Frame] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_capture": None, "_next": 0, "_last": None}

    def read(self, number: int) -> Frame:
        """Frame `number` (0-based) as (h, w, 3) uint8 RGB. Raises DatasetError for a frame after the last one."""
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        if self._capture is None or number < self._next:
            self._open()
        while self._next <= number:
            if not self._capture.grab():
                raise DatasetError(
                    f"{self.path}: frame {number} is needed, but only {self._next} frames can be decoded",
                    "copy or download the video again",
                )
            self._next += 1
        done, image_bgr = self._capture.retrieve()
        if not done:
            raise DatasetError(f"{self.path}: frame {number} cannot be decoded", "copy or download the video again")
        self._last = (number, np.ascontiguousarray(image_bgr[:, :, ::-1]))
        return self._last[1]

    def count(self) -> int:
        """Number of frames that really decode (the header's number is often wrong by a few)."""
        self._open()
        while self._capture.grab():
            self._next += 1
        return self._next

    def claimed(self) -> int:
        """Number of frames by the file's header; far above `count` when the file is cut off."""
        if self._capture is None:
            self._open()
        return int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def _open(self) -> None:
        # FFmpeg would print its own lines beside our one; it looks at this when OpenCV first opens a file.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        if not self.path.is_file():
            raise DatasetError(f"{self.path}: no such video file", "restore it, or remove what refers to it")
        if self._capture is not None:
            self._capture.release()
        self._capture, self._next, self._last = cv2.VideoCapture(str(self.path)), 0, None
        if not self._capture.isOpened():
            self._capture = None
            raise DatasetError(f"{self.path}: OpenCV cannot open this video", "convert it to mp4 (H.264) or to images")
