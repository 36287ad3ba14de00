"""Cameras and addresses: videos that show something else each time, and have no end of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import cv2, np
from ifrkit.core.records import Frame
from ifrkit.media.probe import Facts
from ifrkit.media.video import open_capture


def is_live(text: str) -> bool:
    """Whether a text is a camera's number, or an address like rtsp://host/stream."""
    return "://" in text or (text.isascii() and text.isdigit() and not os.path.exists(text))


def name_of(text: str) -> str:
    """What its video is called: rtsp://host/yard is yard, 0 is camera0."""
    return f"camera{text}" if text.isdigit() else Path(text.partition("://")[2].partition("?")[0]).stem or "stream"


def facts_of(text: str) -> Facts:
    """What a stream sends; its length is not known. Raises DatasetError."""
    capture = _open(text)
    done, frame = capture.read()
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    if not done:
        raise DatasetError(f"{text}: sends no frame", "check that it is there and sends a video")
    return Facts(frame.shape[:2], fps if 0 < fps <= 1000 else None, 0, {})


def frames_of(text: str) -> Iterator[tuple[Frame, float]]:
    """Frames as they come, each with its moment in milliseconds: its own, or when a camera gave it.

    Raises DatasetError.
    """
    capture, begun = _open(text), time.monotonic()
    try:
        while (read := capture.read())[0]:
            came = 1000 * (time.monotonic() - begun)
            moment = came if text.isdigit() else float(capture.get(cv2.CAP_PROP_POS_MSEC))
            yield np.ascontiguousarray(read[1][:, :, ::-1]), moment
    finally:
        capture.release()


def _open(text: str) -> Any:
    try:
        return open_capture(int(text) if text.isdigit() else text)
    except (DatasetError, cv2.error) as error:  # OpenCV takes no number beyond 32 bits
        what = f"camera {text}" if text.isdigit() else text
        raise DatasetError(f"{what}: cannot be opened", "check that it is there and sends a video") from error
