"""What `predict` reads: video files and series of images, one frame after the other, in constant memory.

What one video is, `ifrkit/media/search.py` says. A frame that cannot be read is an item with a fault, not an error: a
long video goes on after it. No torch here.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import count
from pathlib import Path
from typing import NamedTuple

from data_prep.folders.layout import leave_masks
from ifrkit.core.encoding import readable
from ifrkit.core.errors import ConfigError, DatasetError, IfrkitError
from ifrkit.core.records import Frame
from ifrkit.core.text import file_name
from ifrkit.media.images import read_rgb
from ifrkit.media.litter import Left, is_litter
from ifrkit.media.names import IMAGES
from ifrkit.media.numbering import natural
from ifrkit.media.probe import Facts, probe
from ifrkit.media.search import Found, Video, search
from ifrkit.media.video import VideoReader
from ifrkit.predict import live

_MISCOUNTED = 2
"""A video's header may be wrong by so many frames."""


class Item(NamedTuple):
    """One frame in order. number: from 0, broken ones counted. frame: (h, w, 3) uint8 RGB, None if it is broken.

    told: whether the survey has named it already. time: when it is shown, in milliseconds, where that is known.
    """

    number: int
    name: str
    frame: Frame | None
    fault: str = ""
    told: bool = False
    time: float | None = None


@dataclass(frozen=True)
class Source:
    """A video under a name that is unique in a run, and a file name. live: a camera's number, or an address."""

    name: str
    video: Video
    live: str = ""

    @property
    def path(self) -> Path:
        """The file, or the directory of its images."""
        return self.video.path

    def files(self) -> tuple[Path, ...]:
        """All that it consists of."""
        return () if self.live else self.video.images or (self.video.path,)


class Survey(NamedTuple):
    """The videos that can be read, what is known of each, and what was left out."""

    videos: list[tuple[Source, Facts]]
    left: Left


def survey(paths: Sequence[str]) -> Survey:
    """Find the videos that a user names, and look at what can be read of them. Raises DatasetError."""
    found, named, streams = _found(paths)
    sources = _named(found.videos, streams)
    read = probe((s.video for s in sources if not s.live), found.left, named)
    facts = {id(video): fact for video, fact in read}
    facts |= {id(s.video): live.facts_of(s.live) for s in sources if s.live}
    return Survey([(s, facts[id(s.video)]) for s in sources if id(s.video) in facts], found.left)


def find_sources(paths: Sequence[str]) -> list[Source]:
    """The videos that a user names: files, directories that are searched, patterns ('day1/*.mp4'), cameras, addresses.

    Nothing is read. Raises DatasetError for a path that holds no frames.
    """
    found, _, streams = _found(paths)
    return _named(found.videos, streams)


def _named(videos: Sequence[Video], streams: dict[int, str]) -> list[Source]:
    sources: dict[str, Source] = {}
    for video in videos:
        own = readable(video.path.resolve().name) if video.alone else video.name.rpartition("/")[2]
        stem = file_name(own.lstrip(".")) or "video"
        names = (stem if n == 1 else f"{stem}-{n}" for n in count(1))
        name = next(name for name in names if name not in sources)
        sources[name] = Source(name, video, streams.get(id(video), ""))
    return list(sources.values())


def _found(paths: Sequence[str]) -> tuple[Found, set[Path], dict[int, str]]:
    """What is found at all paths in their order, each file once; the files that are named themselves; what is live.

    The last one maps the id of a video to its camera's number or address.
    """
    if not all(text.strip() for text in paths):
        raise ConfigError("the name of a video is empty", "name videos, or directories of frames; `.` is this one")
    found, named, seen = Found(), set[Path](), set[str]()
    streams = {text: Video(live.name_of(text), Path(live.name_of(text))) for text in paths if live.is_live(text)}
    found.videos += streams.values()
    for part in _parts([text for text in paths if text not in streams], named):
        found.left.extend(part.left)
        for video in part.videos:
            place = os.path.realpath(video.images[0] if video.images else video.path)
            if place in seen:
                found.left.add(Left.LINK, str(video.path), len(video.images) or 1)
                continue
            seen.add(place)
            found.videos.append(video)
    return found, named, {id(video): text for text, video in streams.items()}


def _parts(paths: Sequence[str], named: set[Path]) -> Iterator[Found]:
    """What is found at each path; images that are named one by one are found together, at the first of them."""
    images: dict[Path, list[Path]] = defaultdict(list)
    places: list[Path] = []
    for text in paths:
        for path in _expanded(text):
            if path.suffix.lower() not in IMAGES or not path.is_file():
                places.append(path)
            elif path not in images[path.parent]:
                places += [] if images[path.parent] else [path]
                images[path.parent].append(path)
    for path in places:
        if path.parent in images and path in images[path.parent]:
            together = Found()
            together.add_images(path.parent, images[path.parent], path.parent)
            # What a user names is read, in a series or not.
            together.videos += [Video(readable(stray.stem), stray, (stray,)) for stray in together.strays]
            together.left = Left()
            yield together
        else:
            if path.is_file():
                named.add(path)
            part = search(path)
            if path.is_dir():
                leave_masks(part, path)
            yield part


def _expanded(text: str) -> list[Path]:
    """The paths that a pattern means, in natural order; without one, the path. Raises DatasetError."""
    if os.path.exists(text) or not has_magic(text):
        return [Path(text)]
    paths = [Path(found) for found in sorted(glob(text, recursive=True), key=natural)]
    if not (paths := [path for path in paths if not is_litter(path.name)]):
        raise DatasetError(f"{text}: no such file or directory", "name videos, or directories of frames")
    return paths


def read(source: Source, facts: Facts) -> Iterator[Item]:
    """Every frame in order. One of another size than the video counts as broken."""
    size = facts.size
    for item in _items(source, facts):
        if item.frame is not None and item.frame.shape[:2] != size:
            h, w = item.frame.shape[:2]
            item = item._replace(frame=None, fault=f"{h}x{w} pixels, most have {size[0]}x{size[1]}")
        yield item


def _items(source: Source, facts: Facts) -> Iterator[Item]:
    if source.live:
        frames = enumerate(live.frames_of(source.live))
        return (Item(number, f"{number:06}", frame, time=moment) for number, (frame, moment) in frames)
    return _images(source.video, facts) if source.video.images else _decoded(source.path)


def _images(video: Video, facts: Facts) -> Iterator[Item]:
    for number, path in enumerate(video.images):
        name = file_name(readable(path.stem))
        try:
            if path in facts.faults:
                yield Item(number, name, None, facts.faults[path], told=True)
            else:
                yield Item(number, name, read_rgb(path).copy())  # Pillow's pixels are read-only, torch warns
        except IfrkitError as error:
            yield Item(number, name, None, error.message)


def _decoded(path: Path) -> Iterator[Item]:
    reader = VideoReader(path)
    following = 0
    while (number := reader.next_number()) is not None:
        for broken in range(following, number):
            yield Item(broken, f"{broken:06}", None, "it cannot be decoded")
        yield Item(number, f"{number:06}", reader.frame(), time=reader.time())
        following = number + 1
    lost = reader.claimed() - following
    if lost > _MISCOUNTED:
        fault = f"the last {lost} of {reader.claimed()} frames cannot be decoded; is the file cut off?"
        yield Item(following, f"{following:06}", None, fault)
