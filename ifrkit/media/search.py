"""What is one video: the one rule of `init`, `prepare folders` and `predict`.

    street.mp4              a video file (by its suffix, whatever the case) is a video
    walk/0001.jpg ...       images whose names differ in one number alone are a series, and every series is a video
    walk/left_1.jpg ...     a directory with several series is several videos
    talk/hello.jpg ...      images of a directory without any series, and without video files, are one video, by name
    walk/cover.jpg          elsewhere an image of no series is left out

Which files count says `ifrkit/media/walk.py`. Whatever is not read is counted and named (`Left`).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from ifrkit.core.encoding import readable
from ifrkit.core.errors import DatasetError
from ifrkit.media.litter import Left
from ifrkit.media.names import IMAGES
from ifrkit.media.numbering import find_series, jumps, natural
from ifrkit.media.video import SUFFIXES as VIDEOS
from ifrkit.media.walk import below, walk


@dataclass(frozen=True)
class Video:
    """One video, nothing decoded. name: its place below the directory that was searched, without suffix.

    path: the video file, or the directory of `images`, which are in order. numbers: of the images, by their names; none
    where they have none. alone: whether its images are the only video of their directory.
    """

    name: str
    path: Path
    images: tuple[Path, ...] = ()
    numbers: tuple[Decimal, ...] = ()
    alone: bool = False

    @property
    def begins(self) -> tuple[int, ...]:
        """Where its stretches begin, but for the first: images at which the frame number jumps."""
        return jumps(self.numbers)

    def without(self, images: Container[Path]) -> Video:
        """The same video without these images."""
        kept = [i for i, path in enumerate(self.images) if path not in images]
        numbers = tuple(self.numbers[i] for i in kept) if self.numbers else ()
        return Video(self.name, self.path, tuple(self.images[i] for i in kept), numbers, self.alone)


@dataclass
class Found:
    """What a search found, in order of the names, and what it left out. strays: images of no series."""

    videos: list[Video] = field(default_factory=list)
    left: Left = field(default_factory=Left)
    strays: list[Path] = field(default_factory=list)

    def add_images(self, directory: Path, images: Sequence[Path], top: Path, beside_files: bool = False) -> None:
        """Add the videos that images of one directory are. top: names are relative to it; beside_files: as it says.

        Raises DatasetError for two images of one stem.
        """
        by_stem: dict[str, Path] = {}
        for path in images:
            stem = readable(path.stem)
            if stem in by_stem:
                fault = f"{by_stem[stem]} and {path}: both would be frame {stem!r}"
                raise DatasetError(fault, "keep one of them")
            by_stem[stem] = path
        stems = sorted(by_stem, key=natural)
        ordered = [by_stem[stem] for stem in stems]
        series, strays = find_series(stems)
        place = "" if directory == top else below(directory, top)
        if not series and strays and not beside_files:
            self.videos.append(Video(place or _own_name(directory), directory, tuple(ordered), alone=True))
            return
        for stray in strays:
            self.strays.append(ordered[stray])
            self.left.add(Left.STRAY, below(ordered[stray], top))
        for name, places, numbers in series:
            own = () if len(series) == 1 and place else (name or _own_name(directory),)
            full = "/".join(filter(None, (place, *own)))
            alone = len(series) == 1
            self.videos.append(Video(full, directory, tuple(ordered[i] for i in places), numbers, alone))


def search(top: Path, without: Path | None = None) -> Found:
    """The videos below a directory, or the one that a file is. without: a directory that holds none.

    Raises DatasetError where nothing is, or two images are one frame.
    """
    if top.is_file():
        return Found([Video(readable(top.stem), top, (top,) if top.suffix.lower() in IMAGES else ())])
    if top.exists() and not top.is_dir():
        raise DatasetError(
            f"{top}: a pipe or a device, not a file", "save it as a file first, or name a stream's address"
        )
    if not top.is_dir():
        raise DatasetError(f"{top}: no such file or directory", "name videos, or directories of frames")
    found = Found()
    for here, files in walk(top, found.left, without):
        images = [path for path in files if path.suffix.lower() in IMAGES]
        videos = [path for path in files if path.suffix.lower() in VIDEOS]
        for path in files:
            if path.suffix.lower() not in IMAGES | VIDEOS:
                found.left.add(Left.OTHER, below(path, top))
        found.videos += [Video(below(path.with_suffix(""), top), path) for path in videos]
        found.add_images(here, images, top, beside_files=bool(videos))
    found.videos.sort(key=lambda video: natural(video.name))
    if not found.videos:
        fault = "; ".join([f"{top}: no images and no video files found", *found.left.lines()])
        raise DatasetError(fault, f"looked for {', '.join(sorted(IMAGES | VIDEOS))}")
    return found


def _own_name(directory: Path) -> str:
    return readable(directory.resolve().name) or "video"
