"""The video to look at: the frames with the classes' colours over them, as an mp4 that browsers play if that can be."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.encoding import is_utf8, readable
from ifrkit.core.errors import DatasetError, ResourceError
from ifrkit.core.lazy import cv2
from ifrkit.core.records import Frame, LabelSpace
from ifrkit.media.mp4 import TIMESCALE, retime
from ifrkit.media.palette import id_colors
from ifrkit.media.video import open_capture, quiet_opencv
from ifrkit.metrics.base import Ids
from ifrkit.predict.legend import Legend

Codec = Literal["auto", "h264", "vp9", "av1", "mpeg4"]
ENCODERS = {"h264": "avc1", "vp9": "vp09", "av1": "av01", "mpeg4": "mp4v"}
"""Codec -> what it is called in an mp4; in the order in which they are tried. Browsers play all but the last."""


class Look(NamedTuple):
    """How an overlay looks. opacity: of the colours, 0 to 1."""

    labels: LabelSpace
    opacity: float
    legend: bool
    codec: Codec


@cache
def encoder(codec: Codec) -> str:
    """The codec that is used here. Raises ResourceError where this OpenCV cannot write it."""
    tried = [name for name in ENCODERS if codec in (name, "auto")]
    for name in tried:
        if _writes(ENCODERS[name]):
            return name
    remedy = "--set overlay=0 writes the label images alone" if codec == "auto" else "--set codec=auto takes another"
    raise ResourceError(f"OpenCV cannot write an mp4 of {' or '.join(tried)} here", remedy)


def unplayable(codec: Codec) -> str:
    """What to say where browsers do not play what `encoder` gives; empty where they do."""
    if encoder(codec) != "mpeg4":
        return ""
    web = "ffmpeg -i overlay.mp4 -c:v libx264 -pix_fmt yuv420p web.mp4 makes one that they do"
    return f"overlays are MPEG-4 part 2, which browsers do not play; {web}"


def _writes(code: str) -> bool:
    """Whether a video of two pictures can be written and read again."""
    quiet_opencv()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "probe.mp4"
        video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 25, (64, 64))
        if not video.isOpened():
            return False
        for shade in (0, 200):
            video.write(np.full((64, 64, 3), shade, np.uint8))
        video.release()
        return path.is_file() and _pictures(path) == 2


def _pictures(path: Path) -> int:
    """How many pictures its index tells of; 0 where it has none."""
    try:
        capture = open_capture(str(path))
    except DatasetError:
        return 0
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count


class Overlay:
    """An mp4 of frames with colours over them. Leave it as a context, or it is lost.

    An odd height or width gets one more row or column, the last one again: the codecs take even sizes only.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, look: Look) -> None:
        self._path, self._look, self._odd = path, look, (size[0] % 2, size[1] % 2)
        self._table = np.ascontiguousarray(id_colors(look.labels)[:, None, ::-1])
        self._legend = Legend(look.labels, size) if look.legend else None
        even = size[1] + self._odd[1], size[0] + self._odd[0]
        # MPEG-4 counts time in at most 65535ths of a second.
        self._fps = round(fps, 3 if fps < 65 else 2 if fps < 655 else 0)
        if not is_utf8(str(path)):
            fault = f"{readable(str(path))}: OpenCV cannot write to a place whose name is not UTF-8"
            raise ResourceError(fault, "name another place with --workspace or --out")
        code = cv2.VideoWriter.fourcc(*ENCODERS[encoder(look.codec)])
        self._video: Any = cv2.VideoWriter(str(path), code, self._fps, even)
        self._last: NDArray[np.uint8] | None = None
        self._times = array("d")
        if not self._video.isOpened():
            fault = f"{path}: OpenCV cannot write an mp4 of {even[1]}x{even[0]} pixels here"
            raise ResourceError(fault, "--set overlay=0 writes the label images alone")

    def write(self, frame: Frame | None, ids_hw: Ids | None, time: float | None = None) -> None:
        """The next picture; without a frame (it was broken) the one before again, so that time stays right.

        time: when it is shown, in milliseconds; None: a frame's time after the one before.
        """
        if frame is not None and ids_hw is not None:
            self._last = self._drawn(frame, ids_hw)
        if self._last is not None:
            self._video.write(self._last)
            self._times.append(np.nan if time is None else time)

    def _drawn(self, frame: Frame, ids_hw: Ids) -> NDArray[np.uint8]:
        colored_bgr = cv2.LUT(cv2.merge([ids_hw, ids_hw, ids_hw]), self._table)
        frame_bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        mixed = cv2.addWeighted(colored_bgr, self._look.opacity, frame_bgr, 1 - self._look.opacity, 0)
        picture = np.asarray(mixed, np.uint8)
        if self._legend is not None:
            self._legend.draw(picture, ids_hw)
        if any(self._odd):
            wider = cv2.copyMakeBorder(picture, 0, self._odd[0], 0, self._odd[1], cv2.BORDER_REPLICATE)
            picture = np.asarray(wider, np.uint8)
        return picture

    def close(self) -> None:
        """Write the index of the file, without which no player opens it."""
        self._video.release()
        if self._times and (durations := durations_of(self._times, self._fps)):
            retime(self._path, durations)

    def __enter__(self) -> Overlay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close()
        if kind is None and self._times:
            self._check()

    def _check(self) -> None:
        """OpenCV tells of no failed write, as on a full disk; but the index comes last, and is missing then."""
        found = _pictures(self._path) if self._path.is_file() else 0
        if found != len(self._times):
            fault = f"{self._path}: {found} of {len(self._times)} frames could be written"
            raise ResourceError(fault, "free some space, then run again with --resume")


def durations_of(times: Sequence[float], fps: float) -> list[int]:
    """How long each picture is shown, in units of TIMESCALE; empty where all are shown for one time, as `fps` says.

    times: milliseconds; those that are not known (NaN), or not after the one before, are a frame's time after it.
    """
    usual = 1000 / fps
    shown = array("d")
    for time in times:
        least = shown[-1] + 1000 / TIMESCALE if shown else -np.inf
        shown.append(time if time >= least else shown[-1] + usual if shown else 0.0)
    if all(abs(time - shown[0] - number * usual) <= usual / 2 for number, time in enumerate(shown)):
        return []
    ticks = [round((time - shown[0]) * TIMESCALE / 1000) for time in [*shown, shown[-1] + usual]]
    return [max(1, after - before) for before, after in pairwise(ticks)]
