"""Frames of video files by exact number."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ifrkit.core.encoding import is_utf8
from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import cv2, np
from ifrkit.core.machine import large_blocks_apart
from ifrkit.core.records import Frame

_FORMATS = (
    "mp4 m4v mov qt avi divx mkv webm mxf mpg mpeg mpe m1v m2v mpv ts mts m2t m2ts vob wmv asf 3gp 3gpp 3g2 flv f4v "
    "ogv ogm dv rm rmvb gif mjpg mjpeg h264 264 avc h265 265 hevc ivf nut y4m insv"
)
SUFFIXES = frozenset(f".{name}" for name in _FORMATS.split())
"""What counts as a video file (lower case)."""
BROKEN_RUN = 300
"""So many broken frames in a row are looked past; after them a video file counts as cut off."""


@cache
def video_size(path: Path) -> tuple[int, int]:
    """(height, width) of a video file's frames; decodes the first one, once a process."""
    reader = VideoReader(path)
    number = reader.next_number()
    if number is None:
        raise DatasetError(f"{path}: not one frame can be decoded", "convert it to mp4 (H.264) or to images")
    height, width = reader.read(number).shape[:2]
    return height, width


def video_rate(path: Path) -> float | None:
    """Frames a second as the file says; None where it does not, or says what cannot be."""
    capture = open_capture(str(path))
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return rate if 0 < rate <= 1000 else None


def open_capture(source: str | int) -> Any:
    """OpenCV's capture of a file, an address or a camera, which neither OpenCV nor FFmpeg says a word about.

    Raises DatasetError where it does not open.
    """
    quiet_opencv()
    # Other backends take `f_0001.x` for a series of images.
    if isinstance(source, int):
        capture = cv2.VideoCapture(source)
    else:
        # FFmpeg makes a table of all frames, in each process that opens the file.
        with _named_in_utf8(source) as name, large_blocks_apart():
            capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG if _ffmpeg() else cv2.CAP_ANY)
    if not capture.isOpened():
        raise DatasetError(f"{source}: OpenCV cannot open this video", "convert it to mp4 (H.264) or to images")
    return capture


@contextmanager
def _named_in_utf8(source: str) -> Iterator[str]:
    """A name that OpenCV can take: of one that is not UTF-8 it would read nothing, and crash the process."""
    if is_utf8(source):
        yield source
        return
    with TemporaryDirectory() as place:
        suffix = Path(source).suffix
        link = Path(place) / f"video{suffix if is_utf8(suffix) else ''}"
        link.symlink_to(os.path.abspath(source))
        yield str(link)


def quiet_opencv() -> None:
    """Their own lines would stand beside our one. FFmpeg looks at this when OpenCV first opens a file."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@cache
def _ffmpeg() -> bool:
    return cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends()


class VideoReader:
    """Frame k of a video file is the (k + 1)-th from its beginning, whether it can be decoded or not.

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
        """Frame `number` (0-based) as (h, w, 3) uint8 RGB. Raises DatasetError for one that cannot be decoded."""
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        if self._capture is None or number < self._next:
            self._open()
        found = self.next_number()
        while found is not None and found < number:
            found = self.next_number()
        if found != number:
            fault = f"only {self._next} frames can be decoded" if found is None else "it cannot be decoded"
            self._close()
            raise DatasetError(
                f"{self.path}: frame {number} is needed, but {fault}", "copy or download the video again"
            )
        return self.frame()

    def next_number(self) -> int | None:
        """Go to the next frame that can be decoded, and give its number; None at the end.

        OpenCV says "no frame" for a broken one and at the end alike; the header's count tells which it may be.
        """
        if self._capture is None:
            self._open()
        number, claimed = self._next, self.claimed()
        while not self._capture.grab():
            number += 1
            if number >= claimed or number - self._next > BROKEN_RUN:
                return None
        self._next = number + 1
        return number

    def frame(self) -> Frame:
        """The frame that `next_number` went to."""
        number = self._next - 1
        done, image_bgr = self._capture.retrieve()
        if not done:
            raise DatasetError(f"{self.path}: frame {number} cannot be decoded", "copy or download the video again")
        self._last = (number, np.ascontiguousarray(image_bgr[:, :, ::-1]))
        return self._last[1]

    def time(self) -> float:
        """When the frame that `next_number` went to is shown, in milliseconds."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC))

    def numbers(self) -> Sequence[int]:
        """The frames that really decode (the header's count is often wrong by a few): a range where none is missing."""
        self._open()
        found = array("q")
        while (number := self.next_number()) is not None:
            found.append(number)
        return range(len(found)) if not found or found[-1] == len(found) - 1 else found

    def claimed(self) -> int:
        """Number of frames by the file's header; far above what decodes when the file is cut off."""
        if self._capture is None:
            self._open()
        return max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def _open(self) -> None:
        if not self.path.is_file():
            raise DatasetError(f"{self.path}: no such video file", "restore it, or remove what refers to it")
        self._close()
        self._capture = open_capture(str(self.path))

    def _close(self) -> None:
        self._capture, self._next, self._last = None, 0, None
