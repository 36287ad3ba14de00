"""What a scan of a directory tree yields, and a dataset that reads from it.

CamVid's two layouts and the user's folders differ in how they find clips, frames and labels; reading them is the same.
"""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from data_prep.base import Dataset
from ifrkit.core.errors import DatasetError
from ifrkit.core.names import distinct
from ifrkit.core.records import ClipRecord, Frame, Label
from ifrkit.media.images import check_size
from ifrkit.media.source import Pixels, Source

T = TypeVar("T")


@dataclass
class Catalog:
    """Everything found under a root, as plain values.

    frames: frame name -> source. labels: frame name -> label file. notes: lines for `prepare --dry-run`; warnings: what
    the run says, too.
    """

    clips: list[ClipRecord] = field(default_factory=list)
    frames: dict[str, Source] = field(default_factory=dict)
    labels: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class CatalogDataset(Dataset):
    """A dataset that scans its root once and reads frames and labels by the catalog's paths."""

    @abstractmethod
    def scan(self) -> Catalog:
        """Look through the root. Raises DatasetError that names what does not fit."""

    def read_label(self, path: Path) -> Label:
        """One label file as class ids, 255 = ignore. Raises DatasetError for ids or colours that do not fit.

        A subclass whose labels are not one file each overrides `label` instead.
        """
        raise NotImplementedError

    @cached_property
    def _pixels(self) -> Pixels:
        return Pixels()

    @cached_property
    def catalog(self) -> Catalog:
        """The result of the scan, made when it is first needed."""
        if not self.root.is_dir():
            raise DatasetError(f"{self.root}: no such directory", "give the dataset's place with --root")
        return self.scan()

    @property
    def sources(self) -> Mapping[str, Source]:
        """Frame name -> where its pixels are: those of the catalog. A subclass may have them otherwise."""
        return self.catalog.frames

    def clips(self) -> list[ClipRecord]:
        return list(self.catalog.clips)

    def reader(self) -> Dataset:
        lean = copy(self)
        lean.catalog = replace(self.catalog, clips=[], notes=[], warnings=[])
        return lean

    def frame(self, name: str) -> Frame:
        return self._pixels.read(self._known(name, self.sources, "frame"))

    def frame_size(self, name: str) -> tuple[int, int] | None:
        return self._known(name, self.sources, "frame").size()

    def label(self, name: str) -> Label:
        path = self._known(name, self.catalog.labels, "label")
        label = self.read_label(path)
        check_size(path, (label.shape[0], label.shape[1]), self.sources[name].size(), name)
        return label

    def source_files(self) -> set[Path]:
        """Files that hold frames and labels."""
        return {source.path for source in self.sources.values()} | set(self.catalog.labels.values())

    def table_files(self) -> set[Path]:
        """Small files whose contents decide the result (class table, split lists)."""
        return set()

    def fingerprint(self) -> str:
        """sha256 over names, sizes and modification times of the source files, and the contents of tables."""
        digest = hashlib.sha256()
        for path in sorted(self.source_files()):
            stat = path.stat()
            name = os.path.relpath(path, self.root)
            digest.update(os.fsencode(name) + f"\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        for path in sorted(self.table_files()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def summary(self) -> list[str]:
        notes = self.catalog.notes
        return [*notes, *(w for w in self.catalog.warnings if w not in notes), *split_lines(self.catalog.clips)]

    def _known(self, name: str, table: Mapping[str, T], what: str) -> T:
        if name not in table:
            raise DatasetError(f"{self.root}: no {what} for frame {name!r}", "prepare the dataset again")
        return table[name]


def split_lines(clips: Iterable[ClipRecord]) -> list[str]:
    """One line a split: clips, frames, labels to train on or to score, and hidden ones."""
    clips = list(clips)
    lines = []
    for split in ("train", "val", "test"):
        own = [c for c in clips if c.split == split]
        if own:
            frames = len(distinct([c.frames for c in own]))
            lengths = Counter(len(c.frames) for c in own)
            shape = " or ".join(str(n) for n in sorted(lengths))
            lines.append(
                f"{split}: {len(own)} clips of {shape} frames ({frames} distinct), "
                f"{sum(len(c.labeled) for c in own)} labeled, {sum(len(c.hidden) for c in own)} hidden labels"
            )
    return lines
