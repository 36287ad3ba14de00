"""Your own videos: directories of frames and video files, with whatever labels exist.

    ROOT/frames/street/000001.jpg ...     every directory with images is a video (nested ones too)
    ROOT/frames/night.mp4                 so is every video file (mp4, avi, mov, mkv, mxf, ...)
    ROOT/frames/park_0001.png ...         and images directly in there, grouped by their name up to the number
    ROOT/labels/street/000031.png         PNG labels, named like their frames, with or without the video's directory
    ROOT/labels/night_000120.png          frame 120 of night.mp4, counted from 0
    ROOT/classes.yaml                     class names, colours and ids (see _folders_classes.py); grey ids do without
    ROOT/train.txt, val.txt, test.txt     optional: videos or frames, one a line

Labels hold grey ids, palette indices or RGB colours. Every labeled frame gets a clip of `clip_length` frames that ends
at it; the frames that remain become training clips without a label. A video's frames count as consecutive, but no clip
crosses a jump of the frame number (more than five times the usual step).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import get_args

from pydantic import Field

from data_prep import _folders_toys as toys
from data_prep._catalog import Catalog, CatalogDataset, Source, shown
from data_prep._folders_classes import ClassTable, derive_table, read_table
from data_prep._folders_cut import Owners, cut, owners_by_fraction, owners_by_lists, segments
from data_prep._folders_find import Names, Tree, find_tree, frame_names, match_labels
from data_prep._video import VideoReader
from data_prep.base import Label
from ifrkit.data.records import ClipRecord, LabelSpace, Split
from ifrkit.errors import DatasetError

_PREDECESSORS = 4
"""Frames before the scored one that evaluation wants by default."""
_MISCOUNTED = 5
"""Headers of sound video files are wrong by a frame or two."""


class Dataset(CatalogDataset):
    """The user's own frames, video files and labels."""

    class Config(CatalogDataset.Config):
        """Options of folders; paths are inside the root."""

        frames: str = "frames"
        """Directory of videos."""
        labels: str = "labels"
        """Directory of label PNGs; it may be missing."""
        label_suffix: str = ""
        """What label names have behind the frame's name ("_L")."""
        classes: str = "classes.yaml"
        """Class table; it may be missing when labels hold ids."""
        clip_length: int = Field(30, ge=2)
        """Frames of a clip (a shorter video is one clip)."""
        val_fraction: float = Field(0.2, ge=0, lt=1)
        """Share of the labeled videos for validation, without list files."""

    config: Config

    def label_space(self) -> LabelSpace:
        return self.table.space

    @cached_property
    def table(self) -> ClassTable:
        """The class table: from its file, else from the ids in the labels in use."""
        path = self.root / self.config.classes
        return read_table(path) if path.is_file() else derive_table(self.catalog.labels.values())

    @cached_property
    def tree(self) -> Tree:
        """Files below the root."""
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such directory", "give the data's place with --root")
        return find_tree(self.root / self.config.frames, self.root / self.config.labels)

    def read_label(self, path: Path) -> Label:
        return self.table.read(path)

    def source_files(self) -> set[Path]:
        """All frames, videos and labels on disk: cheaper than the catalog, which has to count the frames of videos."""
        images = {p for paths in self.tree.images.values() for p in paths}
        return images | set(self.tree.videos.values()) | set(self.tree.labels)

    def table_files(self) -> set[Path]:
        """The class table and the split lists."""
        names = [self.config.classes, *(f"{split}.txt" for split in get_args(Split))]
        return {self.root / name for name in names if (self.root / name).is_file()}

    def scan(self) -> Catalog:
        readers = {video: VideoReader(path) for video, path in self.tree.videos.items()}
        counts = {video: reader.count() for video, reader in readers.items()}
        frames = frame_names(self.tree, counts)
        names = Names(self.tree, frames)
        matches = match_labels(self.tree, self.root / self.config.labels, self.config.label_suffix, names)
        videos = {video: list(table) for video, table in frames.items()}
        numbers = {v: [i for i, name in enumerate(own) if name in matches.labels] for v, own in videos.items()}
        catalog = Catalog(frames={n: s for table in frames.values() for n, s in table.items()}, labels=matches.labels)
        catalog.notes = self._found(frames, len(matches.labels), matches.unmatched)
        for video, reader in readers.items():
            if reader.claimed() > counts[video] + _MISCOUNTED:
                catalog.notes.append(
                    f"{reader.path.name}: {counts[video]} of {reader.claimed()} frames decode; is the file cut off?"
                )
        for video, owners in self._owners(videos, numbers, names, catalog).items():
            catalog.clips += self._cut(video, videos[video], owners, numbers[video])
        catalog.clips.sort(key=lambda clip: get_args(Split).index(clip.split))
        self._check_splits(catalog)
        return catalog

    def _cut(self, video: str, names: list[str], owners: Owners, labeled: list[int]) -> Iterator[ClipRecord]:
        for begin, end in segments(names):
            inside = [i - begin for i in labeled if begin <= i < end]
            for piece in cut(owners[begin:end], inside, self.config.clip_length):
                own = names[begin + piece.start : begin + piece.stop]
                at = None if piece.annotated is None else piece.annotated - piece.start
                yield ClipRecord(
                    name=own[-1] if at is None else own[at],
                    video=video,
                    split=piece.split,
                    frames=tuple(own),
                    annotated=at,
                    labeled=() if at is None else (at,),
                )

    def summary(self) -> list[str]:
        """What was found, which splits it gives, and the classes."""
        table = self.root / self.config.classes
        source = table.name if table.is_file() else f"named after the ids in the labels: there is no {table.name}"
        names = self.label_space().names if table.is_file() or self.catalog.labels else ()
        return [*super().summary(), f"{len(names)} classes ({source}): {shown(names, 12)}"]

    def _owners(
        self, videos: dict[str, list[str]], numbers: dict[str, list[int]], names: Names, catalog: Catalog
    ) -> dict[str, Owners]:
        lists = {split: self.root / f"{split}.txt" for split in get_args(Split)}
        lists = {split: path for split, path in lists.items() if path.is_file()}
        if lists:
            catalog.notes.append(f"splits from {', '.join(path.name for path in lists.values())}")
            return owners_by_lists(videos, lists, names.find)
        owners, note = owners_by_fraction(videos, numbers, self.config.val_fraction, self.config.clip_length, self.seed)
        catalog.notes.append(note)
        return owners

    def _found(self, frames: dict[str, dict[str, Source]], matched: int, unmatched: list[str]) -> list[str]:
        """Notes on videos, and on labels that belong to a frame or not."""
        notes = [
            f"{len(self.tree.images)} directories or series of images, {len(self.tree.videos)} video files, "
            f"{sum(map(len, frames.values()))} frames: {shown(frames)}"
        ]
        for video, table in frames.items():
            jumps = [list(table)[begin] for begin, _ in segments(list(table))[1:]]
            if jumps:
                notes.append(f"{video}: the frame number jumps before {shown(jumps)}; no clip crosses that")
        if not self.tree.labels:
            notes.append(f"no labels in {self.config.labels}/: no clip has a label")
        else:
            notes.append(f"{matched} labels have a frame")
        if unmatched:
            notes.append(f"{len(unmatched)} labels left out, no frame has their name: {shown(unmatched)}")
        return notes

    def _check_splits(self, catalog: Catalog) -> None:
        """Refuse an empty split; say which labels and frames no clip uses, and which labels come early."""
        made = {clip.split for clip in catalog.clips}
        for split in get_args(Split):
            path = self.root / f"{split}.txt"
            if split not in made and (path.is_file() or split == "train"):
                what = path if path.is_file() else self.root / self.config.frames
                raise DatasetError(f"{what}: no clip for {split}", f"give {split} a video with two frames and a label")
        scored = {clip.frames[clip.annotated]: clip for clip in catalog.clips if clip.annotated is not None}
        lost = [name for name in catalog.labels if name not in scored]
        early = [name for name, clip in scored.items() if (clip.annotated or 0) < _PREDECESSORS]
        idle = len(catalog.frames) - len({frame for clip in catalog.clips for frame in clip.frames})
        if lost:
            catalog.notes.append(f"{len(lost)} labels are in no split or have no second frame: {shown(lost)}")
        if early:
            catalog.notes.append(f"{len(early)} labels have fewer than {_PREDECESSORS} frames before: {shown(early)}")
        if idle:
            catalog.notes.append(f"{idle} frames are in no clip")

    @classmethod
    def make_toy(cls, root: Path, seed: int = 0) -> None:
        """Directories of frames, a video file, colour labels and a class table."""
        toys.folders(root, seed)
