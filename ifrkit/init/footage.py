"""The user's videos before any label exists: which frames may be labeled, and their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.folders.cut import cut
from data_prep.folders.find import Names, find_videos, flat_name, read_frames
from data_prep.folders.layout import leave_masks
from ifrkit.artifacts.job import Display
from ifrkit.core.errors import DatasetError
from ifrkit.core.records import Frame
from ifrkit.media.source import Pixels


class Footage:
    """All videos below a directory, named and cut into clips as `prepare folders` does."""

    def __init__(self, frames: Path, labels: Path, display: Display) -> None:
        found = find_videos(frames, labels)
        if frames.is_dir():
            leave_masks(found, frames)
        self.read = read_frames(found, frames, lambda probed: display.track(probed, "count frames", total=len(probed)))
        self.path = frames
        self.videos = self.read.table
        self.sources = self.read.sources
        self._names = Names(self.videos, self.read.files)

    def candidates(self, chosen: Iterable[str], clip_length: int) -> list[str]:
        """The last frame of every clip that has none of the chosen frames: at most one label a clip.

        A labeled frame's clip are the frames that end at it, so a clip that is labeled at its end stays the same.
        """
        taken = set(chosen)
        found: list[str] = []
        for video in self.videos:
            names = self.read.names(video)
            for begin, end in self.read.stretches(video):
                labels = [i for i, name in enumerate(names[begin:end]) if name in taken]
                pieces = cut(["train"] * (end - begin), labels, clip_length)
                covered = 0
                for piece in pieces:
                    if piece.annotated is None and piece.start >= covered:
                        found.append(names[begin + piece.stop - 1])
                    covered = max(covered, piece.stop)
        return found

    def tell(self, display: Display) -> None:
        """Say what was not read."""
        self.read.left.tell(display)
        for note in self.read.notes:
            display.warn(note)

    def frames(self, names: Iterable[str]) -> Iterator[tuple[str, Frame]]:
        """Frames by their names. In the order of `self.sources` each video file is decoded once."""
        pixels = Pixels()
        for name in names:
            yield name, pixels.read(self.sources[name])

    def file_name(self, name: str) -> str:
        """What a frame is called outside its video, without suffix. Raises DatasetError where that is ambiguous."""
        flat = flat_name(name)
        if self._names.find(flat) != [name]:
            raise DatasetError(f"{self.path}: several frames would be named {flat}", "rename one of their videos")
        return flat
