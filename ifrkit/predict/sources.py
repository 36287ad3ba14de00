"""What `predict` reads: video files and folders of frames, one frame after the other, in constant memory.

A frame that cannot be read is an item with a fault, not an error: a long video goes on after it. No torch here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from ifrkit.core.errors import DatasetError, IfrkitError
from ifrkit.core.lazy import cv2
from ifrkit.core.records import Frame
from ifrkit.media.images import MAX_PIXELS, image_size, list_images, natural, read_rgb
from ifrkit.media.images import SUFFIXES as IMAGES
from ifrkit.media.video import SUFFIXES as VIDEOS

BROKEN_RUN = 300
"""So many broken frames in a row are looked past; after them a video file counts as cut off."""
_MISCOUNTED = 2
"""A video's header may be wrong by so many frames."""


class Item(NamedTuple):
    """One frame in order. number: from 0, broken ones counted. frame: (h, w, 3) uint8 RGB, None if it is broken."""

    number: int
    name: str
    frame: Frame | None
    fault: str = ""


@dataclass(frozen=True)
class Source:
    """A video file, or a directory whose `images` are its frames. name: unique in a run, and a file name."""

    name: str
    path: Path
    images: tuple[Path, ...] = ()

    def files(self) -> tuple[Path, ...]:
        """All that it consists of."""
        return self.images or (self.path,)


@dataclass(frozen=True)
class Facts:
    """What is known before anything is decoded. size: (height, width); fps: None for folders; count: by the header."""

    size: tuple[int, int]
    fps: float | None
    count: int


def find_sources(paths: Sequence[str]) -> list[Source]:
    """The videos that a user names: a file is one, a directory of images is one, any other directory is searched.

    Raises DatasetError for a path that holds no frames.
    """
    places = [place for text in paths for place in _videos_at(Path(text))]
    sources: dict[str, Source] = {}
    for path, images in places:
        full = path.resolve()
        stem = (full.name if images else full.stem).lstrip(".") or "video"
        names = (stem if n == 1 else f"{stem}-{n}" for n in count(1))
        name = next(name for name in names if name not in sources)
        sources[name] = Source(name, path, images)
    return list(sources.values())


def _videos_at(path: Path) -> list[tuple[Path, tuple[Path, ...]]]:
    if path.is_file():
        return [(path, ())]
    if not path.is_dir():
        raise DatasetError(f"{path}: no such file or directory", "name videos, or folders of frames")
    if images := _images_in(path):
        return [(path, images)]
    found: list[tuple[Path, tuple[Path, ...]]] = []
    for here, directories, files in os.walk(path):
        directories[:] = sorted((d for d in directories if not d.startswith(".")), key=natural)
        if images := _images_in(Path(here)):
            found.append((Path(here), images))
        videos = (f for f in files if Path(f).suffix.lower() in VIDEOS and not f.startswith("."))
        found += [(Path(here) / file, ()) for file in sorted(videos, key=natural)]
    if not found:
        raise DatasetError(f"{path}: no frames found", f"looked for {', '.join(sorted(IMAGES | VIDEOS))}")
    return found


def _images_in(directory: Path) -> tuple[Path, ...]:
    images = sorted(list_images(directory), key=lambda path: natural(path.name))
    twice = [stem for stem, count in Counter(path.stem for path in images).items() if count > 1]
    if twice:
        raise DatasetError(f"{directory}: two images are frame {twice[0]!r}", "keep one of them")
    return tuple(images)


def facts(source: Source) -> Facts:
    """Size and length by the headers alone. Raises DatasetError where no frame can be read at all."""
    if source.images:
        fault: Exception = DatasetError(f"{source.path}: none of its images can be read")
        for path in source.images:
            try:
                return Facts(image_size(path), None, len(source.images))
            except DatasetError as error:
                fault = error
        raise fault
    capture = _open(source.path)
    size = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    fps, count = float(capture.get(cv2.CAP_PROP_FPS)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise DatasetError(f"{source.path}: frames of {size[0]}x{size[1]} pixels", "check the file, or make it smaller")
    return Facts(size, fps if 0 < fps <= 1000 else None, max(count, 0))


def read(source: Source, size: tuple[int, int]) -> Iterator[Item]:
    """Every frame in order. One of another size than (height, width) counts as broken."""
    for item in _images(source) if source.images else _decoded(source.path):
        if item.frame is not None and item.frame.shape[:2] != size:
            h, w = item.frame.shape[:2]
            item = item._replace(frame=None, fault=f"{h}x{w} pixels, the others have {size[0]}x{size[1]}")
        yield item


def _images(source: Source) -> Iterator[Item]:
    for number, path in enumerate(source.images):
        try:
            yield Item(number, path.stem, read_rgb(path).copy())  # Pillow's pixels are read-only, torch warns
        except IfrkitError as error:
            yield Item(number, path.stem, None, error.message)


def _decoded(path: Path) -> Iterator[Item]:
    """OpenCV says "no frame" for a broken one and at the end alike; the header's count tells which it may be."""
    capture = _open(path)
    claimed = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    number, missed = 0, 0
    while True:
        done, image_bgr = capture.read()
        if done:
            for back in range(missed, 0, -1):
                yield Item(number - back, f"{number - back:06}", None, "it cannot be decoded")
            missed = 0
            yield Item(number, f"{number:06}", cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB))
        elif number < claimed and missed < BROKEN_RUN:
            missed += 1
        else:
            break
        number += 1
    capture.release()
    lost = claimed - (number - missed)
    if lost > _MISCOUNTED:
        end = number - missed
        fault = f"the last {lost} of {claimed} frames cannot be decoded; is the file cut off?"
        yield Item(end, f"{end:06}", None, fault)


def _open(path: Path) -> Any:
    # FFmpeg would print its own lines beside ours; it looks at this when OpenCV first opens a file.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise DatasetError(f"{path}: OpenCV cannot open it as a video", "convert it to mp4 (H.264) or to images")
    return capture
