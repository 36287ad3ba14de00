"""Your own videos: directories of frames and video files, with whatever labels exist.

    ROOT/frames/street/000001.jpg ...     every series of images is a video (nested ones too: ifrkit/media/search.py)
    ROOT/frames/night.mp4                 so is every video file (mp4, avi, mov, mkv, mxf, ...)
    ROOT/frames/park_0001.png ...         and a series directly in there, named by what stands before the number
    ROOT/labels/street/000031.png         PNG labels, named like their frames, with or without the video's directory
    ROOT/labels/night_000120.png          frame 120 of night.mp4, counted from 0
    ROOT/labels/...                       or what a labeling tool exports: see ifrkit/labels/
    ROOT/classes.yaml                     class names, colours and ids (see ifrkit/media/classes.py); often not needed
    ROOT/train.txt, val.txt, test.txt     optional: videos, directories or frames, one a line

Every labeled frame gets a clip of `clip_length` frames that ends at it; the frames that remain become training clips
without a label. A video's frames count as consecutive, but no clip crosses a jump of the frame number (more than five
times the usual step).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterator
from copy import copy
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, get_args

from msgspec import Meta

from data_prep._catalog import Catalog, CatalogDataset
from data_prep.folders.blocks import split_into_blocks
from data_prep.folders.cut import Division, Labeled, Owners, owners_by_fraction, owners_by_lists
from data_prep.folders.find import Frames, Matches, Names, find_videos, match_labels, read_frames
from data_prep.folders.gap import keep_away
from data_prep.folders.layout import check_apart, part_masks
from data_prep.folders.numbered import AllFrames
from data_prep.folders.toys import make_tree
from ifrkit.artifacts.job import Display
from ifrkit.core.bounds import Natural, NotNegative
from ifrkit.core.config import settle
from ifrkit.core.errors import DatasetError
from ifrkit.core.names import Chosen, distinct
from ifrkit.core.records import IGNORE, ClipRecord, Label, LabelSpace, Split
from ifrkit.labels.base import Export, known_format, open_labels
from ifrkit.media.classes import ClassTable, read_table
from ifrkit.media.litter import Left, shown
from ifrkit.media.search import Found
from ifrkit.media.source import Source
from ifrkit.media.video import video_rate

_VOID = re.compile(
    r"ego[ _-]?vehicle|out[ _-]of[ _-]roi|rectification[ _-]border|license[ _-]plate|_*ignored?_*|void"
    r"|unlabell?ed|unknown|don'?t[ _-]?care",
    re.IGNORECASE,
)
"""What datasets and tools call that which is not to be trained."""
_PREDECESSORS = 4
"""Frames before the scored one that evaluation wants by default."""


class Dataset(CatalogDataset):
    """The user's own frames, video files and labels."""

    class Config(CatalogDataset.Config):
        """Options of folders; paths are absolute, or relative to the root."""

        frames: str = "frames"
        """Directory of videos, or one video file (flag --frames)."""
        labels: str = "labels"
        """PNG labels or the export of a labeling tool, a directory or a file (flag --labels); it may be missing."""
        label_format: str = "auto"
        """What they are; auto sees it from the files (flag --label-format)."""
        label_suffix: str = ""
        """What label names have after the frame's name ("_L")."""
        classes: str = "classes.yaml"
        """Class table; it may be missing when labels hold ids or bring their classes along."""
        clip_length: Annotated[int, Meta(ge=2)] = 30
        """Frames of a clip (a shorter video is one clip)."""
        val_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.2
        """Share of the labeled videos for validation, without list files."""
        blocks: Natural = 1
        """Where one video alone has labels: in how many blocks over it val lies; 1: its end."""
        gap: NotNegative = 0.0
        """Seconds around held-out frames in which a video has no training frames."""
        fps: Annotated[float, Meta(gt=0, le=1000)] = 25.0
        """Frames a second of videos that do not say it: folders of images."""
        scribbles: bool = False
        """Lines and points of LabelMe label what is under them; what else is not drawn in such a frame is ignored."""
        allow_missing: bool = False
        """Leave out labels whose name no frame has (flag --allow-missing)."""

        def __post_init__(self) -> None:
            settle(self, label_format=known_format(self.label_format))

    config: Config

    def label_space(self) -> LabelSpace:
        return self.table.space

    @cached_property
    def table(self) -> ClassTable:
        """The class table: from its file, else what the labels in use say."""
        path = self.root / self.config.classes
        if path.is_file():
            return read_table(path)
        table = self.export.reader.table([entry.key for entry in self.matches.labels.values()])
        if void := [name for name in table.space.names if _VOID.fullmatch(name)]:
            names = ", ".join(f"{name}: " for name in table.space.names if name not in void)
            raise DatasetError(
                f"{self.export.reader.files.path}: labels have the classes {shown(map(repr, void), 8)}, whose names "
                f"say that they are none, and there is no {path.name}",
                f"write it, to train without them: `classes: {{{names}}}` and `ignore: [255, {', '.join(void)}]`",
            )
        first: dict[str, str] = {}
        for name in table.space.names:
            if (other := first.setdefault(name.casefold(), name)) != name:
                fault = f"{self.export.reader.files.path}: labels have the classes {other!r} and {name!r}"
                raise DatasetError(fault, f"write both alike, or write {path.name} with both if they are two")
        return table

    @cached_property
    def found(self) -> Found:
        """Videos below the root, nothing read."""
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such directory", "give the data's place with --root")
        return find_videos(self.root / self.config.frames, self.root / self.config.labels)

    @cached_property
    def masks(self) -> dict[str, str]:
        """Directories of labels beside those of their frames, which are taken out of `found`."""
        top = self.root / self.config.frames
        return part_masks(self.found, top) if top.is_dir() else {}

    @cached_property
    def export(self) -> Export:
        """The labels on disk, their format and their reader."""
        path, frames = self.root / self.config.labels, self.root / self.config.frames
        if self.masks and (not path.exists() or path.resolve() == frames.resolve()):
            return open_labels(frames, self.config.label_format, self.masks)
        if self.config.labels != "labels" and not path.exists():
            raise DatasetError(f"{path}: no such file or directory", "name the labels with --labels, or leave it out")
        export = open_labels(path, self.config.label_format)
        export.reader.scribbles = self.config.scribbles
        return export

    @cached_property
    def frames_found(self) -> Frames:
        """All frames that can be read. Counts the frames of video files."""
        _ = self.masks
        return read_frames(self.found, self.root / self.config.frames)

    @cached_property
    def matches(self) -> Matches:
        """The label of each frame that has one. Raises DatasetError for labels whose frame is not there."""
        reader = self.export.reader
        matches = match_labels(reader, self.config.label_suffix, self.frames_found, self.masks)
        if matches.unmatched and not self.config.allow_missing:
            count = len(matches.labels) + len(matches.unmatched)
            raise DatasetError(
                f"{reader.files.path}: {len(matches.unmatched)} of {count} labels have no frame of their name: "
                f"{shown(matches.unmatched)}",
                "name them like their frames, or leave them out with --allow-missing",
            )
        sources = self.frames_found.sources
        files = {name: reader.files.where(entry.key) for name, entry in matches.labels.items()}
        check_apart(files, sources.files(), self.root / self.config.frames)
        reader.survey({entry.key: _size(sources[name]) for name, entry in matches.labels.items()})
        return matches

    def label(self, name: str) -> Label:
        entry = self._known(name, self.matches.labels, "label")
        return self.export.reader.read(entry.key, self.sources[name].size(), self.table)

    @property
    def sources(self) -> AllFrames:
        return self.frames_found.sources

    def reader(self) -> Dataset:
        lean = copy(self)
        lean.found, lean.catalog = Found(), Catalog()
        return lean

    def source_files(self) -> set[Path]:
        """All frames, videos and labels on disk: cheaper than the catalog, which has to count the frames of videos."""
        _ = self.masks
        frames = {path for video in self.found.videos for path in video.images or (video.path,)}
        return frames | set(self.export.reader.files.paths())

    def table_files(self) -> set[Path]:
        """The class table and the split lists."""
        names = [self.config.classes, *(f"{split}.txt" for split in get_args(Split))]
        return {self.root / name for name in names if (self.root / name).is_file()}

    def scan(self) -> Catalog:
        usable = self._usable_labels()
        catalog = Catalog(labels=usable)
        catalog.notes = self._found(usable)
        catalog.warnings += self._one_class(usable)
        videos = {video: self._labeled(video, usable) for video in self.frames_found.table}
        for video, owners in self._owners(videos, catalog).items():
            catalog.clips += self._cut(video, videos[video], keep_away(owners, self._gap(video)))
        catalog.clips.sort(key=lambda clip: get_args(Split).index(clip.split))
        self._check_splits(catalog)
        return catalog

    def _gap(self, video: str) -> int:
        """`gap` in frames of a video."""
        path = self.frames_found.files.get(video)
        rate = (video_rate(path) if path and self.config.gap else None) or self.config.fps
        return round(self.config.gap * rate)

    def _usable_labels(self) -> dict[str, Path]:
        """Frame name -> the file of its label, of all that hold a class.

        Reads every label once: what is wrong with them is said at once and before anything is written.
        """
        reader = self.export.reader
        usable: dict[str, Path] = {}
        faults: list[DatasetError] = []
        for name, entry in self.matches.labels.items():
            table = self.table  # its own fault is not one of the label's
            try:
                label = reader.read(entry.key, self.sources[name].size(), table)
            except DatasetError as error:
                faults.append(error)
                continue
            if (label != IGNORE).any():
                usable[name] = Path(reader.files.where(entry.key))
        if faults:
            count = f"{len(faults)} of {len(self.matches.labels)} labels cannot be used, the first: "
            raise DatasetError((count if len(self.matches.labels) > 1 else "") + faults[0].message, faults[0].remedy)
        return usable

    def _labeled(self, video: str, usable: dict[str, Path]) -> Labeled:
        names, stretches = self.frames_found.names(video), self.frames_found.stretches(video)
        labels = [i for b, e in stretches for i in range(b, e) if e - b >= 2 and names[i] in usable]
        return Labeled(len(names), labels, stretches)

    def _cut(self, video: str, labeled: Labeled, owners: Owners) -> Iterator[ClipRecord]:
        names = self.frames_found.names(video)
        for piece in labeled.clips(owners, self.config.clip_length):
            own = Chosen(names, range(piece.start, piece.stop))
            at = None if piece.annotated is None else piece.annotated - piece.start
            yield ClipRecord(
                name=own[-1] if at is None else own[at],
                video=video,
                split=piece.split,
                frames=own,
                annotated=at,
                labeled=() if at is None else (at,),
            )

    def summary(self) -> list[str]:
        """What was found, which splits it gives, and the classes."""
        table = self.root / self.config.classes
        if not table.is_file() and not self.catalog.labels:
            return [*super().summary(), f"no classes: there is no {table.name}, and no label"]
        source = table.name if table.is_file() else f"taken from the labels: there is no {table.name}"
        names = self.label_space().names
        return [*super().summary(), f"{len(names)} classes ({source}): {shown(names, 12)}"]

    def _owners(self, videos: dict[str, Labeled], catalog: Catalog) -> dict[str, Owners]:
        lists = {split: self.root / f"{split}.txt" for split in get_args(Split)}
        lists = {split: path for split, path in lists.items() if path.is_file()}
        if lists:
            catalog.notes.append(f"splits from {', '.join(path.name for path in lists.values())}")
            frames = self.frames_found
            names, lost = Names(frames.table, frames.files), Names({"": frames.lost})
            own = {video: frames.names(video) for video in frames.table}
            return owners_by_lists(own, lists, names.find, lambda written: bool(lost.find(written)))
        owners, note, warning = self._drawn(videos)
        catalog.notes.append(note)
        catalog.warnings += [warning] if warning else []
        return owners

    def _drawn(self, videos: dict[str, Labeled]) -> Division:
        """Without lists: a fraction of the videos, or of the only one that has labels."""
        fraction, length, blocks = self.config.val_fraction, self.config.clip_length, self.config.blocks
        labeled = [video for video, found in videos.items() if found.labels]
        if blocks > 1 and fraction and len(labeled) == 1:
            found = split_into_blocks(labeled[0], videos[labeled[0]], fraction, length, blocks)
            if found is not None:
                rest: dict[str, Owners] = {video: ["train"] * one.frames for video, one in videos.items()}
                return found._replace(owners=rest | found.owners)
        return owners_by_fraction(videos, fraction, length, self.seed)

    def _found(self, usable: dict[str, Path]) -> list[str]:
        """Notes on videos, and on what the labels are and which of them count."""
        frames, reader = self.frames_found, self.export.reader
        notes = [
            f"{len(frames.table) - len(frames.files)} directories or series of images, {len(frames.files)} video "
            f"files, {sum(map(len, frames.table.values()))} frames: {shown(frames.table)}",
            *frames.left.lines(),
        ]
        for video in frames.table:
            begins = [frames.names(video)[begin] for begin in frames.begins[video]]
            if begins:
                notes.append(f"{video}: the frame number jumps before {shown(begins)}; no clip crosses that")
        notes += frames.notes
        if self.masks:
            labels, own = next(iter(self.masks.items()))
            notes.append(f"{len(self.masks)} directories of labels beside those of their frames, as {labels} and {own}")
        if not reader.files.names:
            return [*notes, f"no labels in {self.config.labels}/: no clip has a label"]
        notes.append(f"{len(usable)} labels have a frame ({self.export.format}: {reader.files.path.name})")
        return [*notes, *self.export.notes, *self._files_left.lines("labels: "), *self._labels_left(usable)]

    @property
    def _files_left(self) -> Left:
        """Files among the labels that are passed over; where labels lie beside frames, `frames_found` says it."""
        files = self.export.reader.files
        return Left() if self.masks and files.path == self.root / self.config.frames else files.left

    def _unread(self) -> list[str]:
        """Notes on PNGs that lie among labels of another format: they may be labels, too."""
        export = self.export
        if export.format in ("png", "cvat", "ultralytics-masks"):
            return []
        pictures = {written for entry in export.reader.entries() for written in (entry.key, *entry.names)}
        pictures = {PurePosixPath(written).stem for written in pictures}
        files = export.reader.files
        others = [n for n in files.ending(".png") if n not in files.used and PurePosixPath(n).stem not in pictures]
        return [f"{len(others)} PNG left out, the labels are {export.format}: {shown(others)}"] if others else []

    def _labels_left(self, usable: Container[str]) -> list[str]:
        """Notes on labels, and parts of labels, that do not count. usable: frames whose label does."""
        matches = self.matches
        notes = [*self.export.reader.notes(), *self._unread()]
        if empty := [name for name in matches.labels if name not in usable]:
            notes.append(f"{len(empty)} labels left out, nothing is labeled in them: {shown(empty)}")
        if matches.lost:
            notes.append(f"{len(matches.lost)} labels left out with their frames: {shown(matches.lost)}")
        if matches.unmatched:
            notes.append(
                f"{len(matches.unmatched)} labels left out, no frame has their name: {shown(matches.unmatched)}"
            )
        return notes

    def _one_class(self, usable: Collection[str]) -> list[str]:
        """A warning where there is nothing that a network could tell apart."""
        if not usable or len(names := self.label_space().names) > 1:
            return []
        return [
            f"there is one class alone, {names[0]!r}, and what is not labeled is ignored: nothing can be learned; "
            f"write {self.config.classes} with a second class, or with one named background for what is not labeled"
        ]

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
        idle = len(self.sources) - len(distinct([clip.frames for clip in catalog.clips]))
        if lost:
            catalog.notes.append(f"{len(lost)} labels are in no split or have no second frame: {shown(lost)}")
        if early:
            catalog.notes.append(f"{len(early)} labels have fewer than {_PREDECESSORS} frames before: {shown(early)}")
        if idle:
            catalog.notes.append(f"{idle} frames are in no clip")

    def tell(self, display: Display) -> None:
        self.frames_found.left.tell(display)
        self._files_left.tell(display, "labels: ")
        left = self._labels_left(self.catalog.labels) if self.export.reader.files.names else []
        for line in [*self.frames_found.notes, *self.catalog.warnings, *left]:
            display.warn(line)

    @classmethod
    def make_toy(cls, root: Path, seed: int = 0) -> None:
        """Directories of frames, a video file, colour labels and a class table."""
        make_tree(root, seed)


def _size(source: Source) -> tuple[int, int] | None:
    """(height, width) of a frame; None where its file is broken, which is said when it is read."""
    try:
        return source.size()
    except DatasetError:
        return None
