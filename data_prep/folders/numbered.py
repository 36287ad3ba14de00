"""Frames of video files: their names and places follow from a rule, so that a long video is held in its numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ifrkit.core.names import Made
from ifrkit.media.source import Source


def video_frame(video: str, number: int) -> str:
    """Name of a frame of a video file: `a/b` number 7 is `a/b/b_000007`."""
    return f"{_prefix(video)}_{number:06}"


def _prefix(video: str) -> str:
    return f"{video}/{video.rpartition('/')[2]}"


class FileNames(Made):
    """Names of the frames of a video file.

    prefix: what they have before their number. numbers: ascending.
    """

    def __init__(self, video: str, numbers: Sequence[int]) -> None:
        self.prefix, self.numbers = _prefix(video), numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, place: int) -> str:
        """That with its number."""
        return f"{self.prefix}_{self.numbers[place]:06}"

    def numbered(self, digits: str) -> str | None:
        """The name with these digits; None where no frame has it."""
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
            return None
        number = int(digits)
        place = bisect_left(self.numbers, number)
        there = place < len(self.numbers) and self.numbers[place] == number and f"{number:06}" == digits
        return f"{self.prefix}_{digits}" if there else None


class FileFrames(Mapping[str, Source]):
    """Frames of one video file by their names, in order."""

    def __init__(self, video: str, path: Path, numbers: Sequence[int]) -> None:
        self.names, self.path = FileNames(video, numbers), path

    def __getitem__(self, name: str) -> Source:
        digits = name.rpartition("_")[2]
        if self.names.numbered(digits) != name:
            raise KeyError(name)
        return Source(self.path, int(digits))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class AllFrames(Mapping[str, Source]):
    """Frames of several videos by their names, video by video. Of one name in two, the image counts."""

    def __init__(self, tables: Iterable[Mapping[str, Source]]) -> None:
        self._tables = list(tables)
        self._files = {table.names.prefix: table for table in self._tables if isinstance(table, FileFrames)}
        images = [table for table in self._tables if not isinstance(table, FileFrames)]
        self._images = {name: source for table in images for name, source in table.items()}

    def files(self) -> set[Path]:
        """Where their pixels are."""
        return {table.path for table in self._files.values()} | {source.path for source in self._images.values()}

    def __getitem__(self, name: str) -> Source:
        if name in self._images:
            return self._images[name]
        return self._files[name.rpartition("_")[0]][name]

    def __iter__(self) -> Iterator[str]:
        for table in self._tables:
            yield from (name for name in table if name not in self._images) if isinstance(table, FileFrames) else table

    def __len__(self) -> int:
        twice = sum(name in self._files.get(name.rpartition("_")[0], ()) for name in self._images)
        return sum(map(len, self._files.values())) + len(self._images) - twice
