"""Where the pixels of a frame are: an image file, or one frame of a video file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ifrkit.core.records import Frame
from ifrkit.media.images import image_size, read_rgb
from ifrkit.media.video import VideoReader, video_size


class Source(NamedTuple):
    """Where a frame's pixels are: an image file (number None), or frame `number` of a video file."""

    path: Path
    number: int | None = None

    def size(self) -> tuple[int, int]:
        """(height, width), without decoding an image."""
        return image_size(self.path) if self.number is None else video_size(self.path)


class Pixels:
    """Reads frames from their places. It holds one video file open, so frames of one in ascending order are cheap."""

    def __init__(self) -> None:
        self._reader: VideoReader | None = None

    def read(self, source: Source) -> Frame:
        """The frame at a place. Raises DatasetError that names the file."""
        if source.number is None:
            return read_rgb(source.path)
        if self._reader is None or self._reader.path != source.path:
            self._reader = VideoReader(source.path)
        return self._reader.read(source.number)
