"""Cached features on disk: files of equal numbers of frames, each written whole, and read by frame.

    features.json           what there is (`ifrkit.artifacts.indexes.Features`)
    backbone.safetensors    the weights that made it
    features-00000.h5       "map0", "map1", ...: (2 n, c, h, w) float16, of each of n frames its map and that of its
                            mirror image, raw, with checksums; see rows.py

A mirror image has maps of its own: a network does not see it as the mirror of what it sees in the frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrkit.artifacts.indexes import FeatureMap, Features
from ifrkit.artifacts.store import REMAKE, Artifact
from ifrkit.core.errors import ArtifactError
from ifrkit.core.records import Frame
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.new_file import NewFile
from ifrkit.data.store.own import open_file
from ifrkit.data.store.rows import RawReader, RawWriter

WEIGHTS = "backbone.safetensors"
FILE_BYTES = 128 << 20
"""A file is not larger, unless one frame is. What a stopped run has of an unfinished file is lost."""
_TYPE = "<f2"

Maps = list[NDArray[np.float16]]


def file_name(number: int) -> str:
    """The name of the file with this number."""
    return f"features-{number:05d}.h5"


def digest(frame: Frame) -> str:
    """Of the pixels of a frame."""
    return hashlib.blake2b(frame.tobytes(), digest_size=12).hexdigest()


def stored_places(store: ClipStore) -> list[tuple[int, int]]:
    """A clip and a position where each stored frame is found, in the order of storing."""
    found: dict[int, tuple[int, int]] = {}
    for clip in range(len(store.clips)):
        for index, row in enumerate(store.rows(clip)):
            found.setdefault(row, (clip, index))
    return [found[row] for row in range(store.stored_frames)]  # each is stored because a clip shows it


class FeatureWriter(NewFile):
    """Writes one file, frame by frame."""

    def __init__(self, path: Path, scratch: Path, rows: int, maps: Sequence[FeatureMap]) -> None:
        super().__init__(path, scratch / f".{path.name}.partial")
        self._maps = [
            RawWriter(self.file, f"map{number}", 2 * rows, (m.channels, m.height, m.width), _TYPE)
            for number, m in enumerate(maps)
        ]

    def write(self, row: int, maps: Sequence[NDArray[np.float16]]) -> None:
        """The maps (2, c, h, w) of a frame and of its mirror image."""
        for writer, map_2chw in zip(self._maps, maps, strict=True):
            for side, map_chw in enumerate(map_2chw):
                writer.write(2 * row + side, map_chw)
        self.check()


class CachedFeatures:
    """A features artifact. Picklable; each process opens files of its own."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact, self.path, self.index = artifact, artifact.path, Features.read(artifact)
        self._files: dict[int, list[RawReader]] = {}

    def require(self, store: ClipStore) -> None:
        """Raise ArtifactError where these are not the features of the frames of a store."""
        if self.index.size != store.size or len(self.index.frames) != store.stored_frames:
            raise ArtifactError(f"{self.path} was not made from these clips", "run cache-features on them")

    def maps(self, row: int, mirrored: bool) -> Maps:
        """The maps (c, h, w) of a stored frame, or of its mirror image. The numbers are checked."""
        number, place = divmod(row, self.index.per_file)
        try:
            return [reader.read(2 * place + mirrored) for reader in self._open(number)]
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise ArtifactError(f"{self.path / file_name(number)}: the file is corrupt ({error})", REMAKE) from error

    def _open(self, number: int) -> list[RawReader]:
        if number not in self._files:
            path = self.path / file_name(number)
            rows = min(self.index.per_file, len(self.index.frames) - number * self.index.per_file)
            with open_file(path) as file:
                self._files[number] = [
                    RawReader(path, file, f"map{i}", (2 * rows, m.channels, m.height, m.width), _TYPE)
                    for i, m in enumerate(self.index.maps)
                ]
        return self._files[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}
