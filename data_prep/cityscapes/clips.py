"""Clips of Cityscapes recordings, and what both of its datasets share."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, ClassVar

from msgspec import Meta

from data_prep._catalog import Catalog, CatalogDataset
from data_prep.cityscapes.classes import LABELS
from data_prep.cityscapes.files import ANNOTATED, LENGTH, Anchor, Files, Missing
from ifrkit.core.errors import DatasetError
from ifrkit.core.records import ClipRecord, Frame, LabelSpace
from ifrkit.media.images import image_size
from ifrkit.media.source import Source


class SequenceDataset(CatalogDataset):
    """Frames of `leftImg8bit_sequence`: one size, 19 classes, stored at half size by default."""

    class Config(CatalogDataset.Config):
        """Options of both datasets."""

        clip_length: Annotated[int, Meta(ge=1, le=LENGTH)] = LENGTH
        """Frames of a clip. Up to 20 it ends at the annotated frame; longer ones go on after it."""
        allow_missing: bool = False
        """Go on where frames or labels are missing: clips become shorter, or are left out."""

    default_size: ClassVar[tuple[int, int] | None] = (512, 1024)
    config: Config

    def label_space(self) -> LabelSpace:
        return LABELS

    @cached_property
    def own_size(self) -> tuple[int, int]:
        """(height, width) of the first frame, and so of all."""
        return image_size(next(iter(self.catalog.frames.values())).path)

    def frame(self, name: str) -> Frame:
        frame = super().frame(name)
        height, width = self.own_size
        if frame.shape[:2] != (height, width):
            fault = f"{self.catalog.frames[name].path}: {frame.shape[1]}x{frame.shape[0]} pixels"
            raise DatasetError(f"{fault}, the first frame has {width}x{height}", "unpack its archive again")
        return frame

    def cut(self, files: Files, anchor: Anchor, catalog: Catalog, missing: Missing) -> ClipRecord | None:
        """The clip at an anchor, still without labels; its frames go into the catalog, its gaps are counted.

        With gaps it is the part around the annotated frame that has none. None: that frame itself is missing.
        """
        there = files.frames.get(anchor.video, {})
        begin = anchor.number - min(ANNOTATED, self.config.clip_length - 1)
        wanted = range(begin, begin + self.config.clip_length)
        gaps = [number for number in wanted if number not in there]
        missing.clips += bool(gaps)
        for number in gaps:
            missing.frame(files.split, anchor.frame(number))
        if anchor.number in gaps:
            return None
        first = max((number + 1 for number in gaps if number < anchor.number), default=wanted[0])
        last = min((number - 1 for number in gaps if number > anchor.number), default=wanted[-1])
        names = {anchor.frame(number): Source(there[number]) for number in range(first, last + 1)}
        catalog.frames.update(names)
        return ClipRecord(name=anchor.name, video=anchor.video, split=files.split, frames=tuple(names))

    def finish(self, catalog: Catalog, missing: Missing) -> Catalog:
        """Refuse what is incomplete, or say what it lacks; refuse what is empty."""
        if not self.config.allow_missing:
            missing.refuse(self.root)
        elif not catalog.clips:
            fault = f"{self.root}: no clip is left; missing: {', '.join(missing.parts())}"
            raise DatasetError(fault, f"unpack {' and '.join(missing.archives)} there")
        catalog.notes += [f"going on without {part}" for part in missing.parts()]
        return catalog
