"""What can be read of a video: by the headers of its images, or by the first frame of its file.

The same for `init`, `prepare folders` and `predict`: what cannot be read, and images of another size than most of their
video, are left out by name.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import cv2
from ifrkit.core.limits import limit
from ifrkit.media.images import image_size, too_large
from ifrkit.media.litter import Left, shown
from ifrkit.media.search import Video
from ifrkit.media.video import open_capture, video_size

_TAIL = 1 << 16
"""Where the end of an image is looked for: some cameras write more after it."""

_END = 0xD9
_WITHIN_PIXELS = frozenset({0, 1, *range(0xD0, 0xD8)})
"""What follows 0xFF in a JPEG without beginning a segment: pixels, and where a decoder may start again."""
MISCOUNTED = 5
"""Headers of sound video files are wrong by a frame or two."""


class Facts(NamedTuple):
    """What is known of a video before it is read.

    size: (height, width) of its frames. fps: frames a second; None: the file does not say, or it is images. claimed:
    number of frames, of a file as its header says. faults: the images that are left out, and why.
    """

    size: tuple[int, int]
    fps: float | None
    claimed: int
    faults: dict[Path, str]


Probed = tuple[Video, Facts]


class Unreadable(DatasetError):
    """Nothing of a video can be read. reason: without its name."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(f"{path}: {reason}", remedy)
        self.reason = reason


def probe(videos: Iterable[Video], left: Left, named: Iterable[Path] = ()) -> list[Probed]:
    """The videos that can be read; what cannot is added to what is left out.

    named: files that the user named: to leave one out is an error. Raises DatasetError for these, for images of which
    no size is that of most, and where nothing can be read.
    """
    named, probed, faults = set(named), list[Probed](), list[Unreadable]()
    for video in videos:
        try:
            probed.append((video, _images(video, left) if video.images else _file(video)))
        except Unreadable as error:
            if video.path in named:
                raise
            faults.append(error)
            left.add(Left.UNREADABLE, f"{video.path.name} ({error.reason})", len(video.images) or 1)
    if not probed and faults:
        raise faults[0]
    return probed


def _images(video: Video, left: Left) -> Facts:
    sizes: dict[Path, tuple[int, int]] = {}
    faults: dict[Path, str] = {}
    for path in video.images:
        try:
            size = image_size(path)
            require_whole(path)
            sizes[path] = size
        except DatasetError as error:
            faults[path] = error.message.removeprefix(f"{path}: ")
            left.add(Left.UNREADABLE, f"{video.path.name}/{path.name} ({faults[path]})")
    if not sizes:
        raise Unreadable(video.path, "none of its images can be read", f"the first: {next(iter(faults.values()))}")
    size = _size_of_most(video, sizes)
    for path, (h, w) in sizes.items():
        if (h, w) != size:
            faults[path] = f"{h}x{w} pixels, most have {size[0]}x{size[1]}"
            left.add(Left.SIZE, f"{video.path.name}/{path.name} ({faults[path]})")
    return Facts(size, None, len(video.images), faults)


def _size_of_most(video: Video, sizes: dict[Path, tuple[int, int]]) -> tuple[int, int]:
    count = Counter(sizes.values()).most_common()
    if 2 * count[0][1] <= len(sizes):
        found = shown([f"{n} of {h}x{w}" for (h, w), n in count])
        fault = f"{video.path}: its images have {len(count)} sizes, and none is that of most: {found}"
        raise DatasetError(fault, "make them one size, or put those of one size into a directory of their own")
    return count[0][0]


def _file(video: Video) -> Facts:
    try:
        capture = open_capture(str(video.path))
        fps, claimed = float(capture.get(cv2.CAP_PROP_FPS)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        h, w = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        capture.release()
        if h * w > limit("MEGAPIXELS") * 10**6:
            raise too_large(video.path)
        size = video_size(video.path)
    except Unreadable:
        raise
    except DatasetError as error:
        raise Unreadable(video.path, error.message.removeprefix(f"{video.path}: "), error.remedy or "") from error
    return Facts(size, fps if 0 < fps <= 1000 else None, max(claimed, 0), {})


def file_notes(name: str, numbers: Sequence[int], claimed: int) -> list[str]:
    """What to say of a video file of which these frames decode. claimed: how many its header tells of."""
    broken = (numbers[-1] + 1 if numbers else 0) - len(numbers)
    notes = [f"{name}: {broken} broken frames left out"] if broken else []
    if claimed > len(numbers) + broken + MISCOUNTED:
        notes.append(f"{name}: {len(numbers)} of {claimed} frames decode; is the file cut off?")
    return notes


def require_whole(path: Path) -> None:
    """Raise DatasetError for an image file that ends too early, without decoding it. Other formats pass.

    What follows an image (the video of a motion photo, zeros of a recovered disk) does not count.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(max(0, length - _TAIL))
        tail = file.read()
    whole = True
    if head.startswith(b"\x89PNG"):
        whole = b"IEND" in tail or _png_ends(path)
    elif head.startswith(b"\xff\xd8"):
        # The image's own end, not that of a thumbnail.
        whole = tail.rfind(b"\xff\xd9") > tail.rfind(b"\xff\xda") or _jpeg_ends(path.read_bytes())
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        whole = length >= struct.unpack("<I", head[4:8])[0] + 8
    if not whole:
        raise DatasetError(f"{path}: it is cut off", "copy or download it again")


def _png_ends(path: Path) -> bool:
    """Whether the chunks of a PNG go on up to its last one."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IEND":
                return True
            file.seek(length + 4, 1)
    return False


def _jpeg_ends(data: bytes) -> bool:
    """Whether the segments of a JPEG go on up to its end marker."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker == _END:
            return True
        if marker == 0xFF:
            place += 1
        elif marker in _WITHIN_PIXELS:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data[place : place + 2] == bytes([0xFF, _END])
