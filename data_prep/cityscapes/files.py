"""Files of Cityscapes by recording and frame number, and which of them are missing.

A clip is 30 frames of one recording, and its 20th is the annotated one. Most recordings are one clip, so its annotated
frame is 000019; long ones (all of Frankfurt and Hamburg) hold several, which begin 19 frames before a label.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ifrkit.core.errors import DatasetError
from ifrkit.core.records import Split
from ifrkit.media.litter import shown

FRAMES, LABELS = "leftImg8bit_sequence", "gtFine"
ARCHIVES = {FRAMES: "leftImg8bit_sequence_trainvaltest.zip", LABELS: "gtFine_trainvaltest.zip"}
CITIES: dict[Split, tuple[str, ...]] = {
    "train": (
        *("aachen", "bochum", "bremen", "cologne", "darmstadt", "dusseldorf", "erfurt", "hamburg", "hanover", "jena"),
        *("krefeld", "monchengladbach", "strasbourg", "stuttgart", "tubingen", "ulm", "weimar", "zurich"),
    ),
    "val": ("frankfurt", "lindau", "munster"),
    "test": ("berlin", "bielefeld", "bonn", "leverkusen", "mainz", "munich"),
}
CLIPS: dict[Split, int] = {"train": 2975, "val": 500, "test": 1525}
"""How many were published."""
LENGTH, ANNOTATED = 30, 19
"""Frames of a clip, and the index of the annotated one."""

_NAME = re.compile(r"(?P<video>[A-Za-z-]+_\d{6})_(?P<number>\d{6})_(?P<kind>leftImg8bit|gtFine_[A-Za-z]+)\.png")

Numbered = dict[int, Path]
"""Frame number -> file."""


class Anchor(NamedTuple):
    """The place of a clip: its recording, and the number of its 20th frame."""

    video: str
    number: int

    @property
    def name(self) -> str:
        """Of the clip."""
        return f"{self.video}_{self.number:06}"

    @property
    def numbers(self) -> range:
        """Of all its frames."""
        return range(self.number - ANNOTATED, self.number - ANNOTATED + LENGTH)

    def frame(self, number: int) -> str:
        """The name of a frame of its recording, as published lists have it."""
        return f"{self.video.partition('_')[0]}/{self.video}_{number:06}"


@dataclass
class Files:
    """Of one split: recording -> frame number -> file."""

    split: Split
    frames: dict[str, Numbered] = field(default_factory=dict)
    labels: dict[str, Numbered] = field(default_factory=dict)

    def note(self) -> str:
        """How much of the split there is."""
        cities = sorted({video.partition("_")[0] for video in self.frames})
        labels, frames = (sum(map(len, table.values())) for table in (self.labels, self.frames))
        counts = f"{labels} labels (published: {CLIPS[self.split]}), {frames} frames"
        return f"{self.split}: {counts} of {len(cities)} cities: {shown(cities)}"


def find(root: Path, split: Split, kinds: tuple[str, ...]) -> Files:
    """Look through both directories of a split once. kinds: of label images, the preferred one first."""
    files = Files(split)
    for video, number, _, path in _named(root / FRAMES / split):
        files.frames.setdefault(video, {})[number] = path
    found = list(_named(root / LABELS / split))
    for wanted in reversed(kinds):
        for video, number, kind, path in found:
            if kind == f"gtFine_{wanted}":
                files.labels.setdefault(video, {})[number] = path
    return files


def _named(directory: Path) -> Iterator[tuple[str, int, str, Path]]:
    for city in sorted(directory.iterdir()) if directory.is_dir() else ():
        for name in sorted(os.listdir(city)) if city.is_dir() else ():
            match = _NAME.fullmatch(name)
            if match and match["video"].partition("_")[0] == city.name:
                yield match["video"], int(match["number"]), match["kind"], city / name


def anchors(numbered: Mapping[str, Numbered]) -> list[Anchor]:
    """One for each file of an annotated frame."""
    return [Anchor(video, number) for video in sorted(numbered) for number in sorted(numbered[video])]


def unclaimed(files: Files, known: list[Anchor]) -> list[Anchor]:
    """Where frames that are in no known clip would have their label: one for each 30 of them."""
    left = {video: set(numbers) for video, numbers in files.frames.items()}
    for anchor in known:
        left.get(anchor.video, set()).difference_update(anchor.numbers)
    found = []
    for video, numbers in sorted(left.items()):
        begin = -LENGTH
        for number in sorted(numbers):
            if number >= begin + LENGTH:
                begin = number
                found.append(Anchor(video, begin + ANNOTATED))
    return found


@dataclass
class Missing:
    """What a complete copy would have. clips: how many of them lack frames."""

    cities: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    clips: int = 0
    labels: list[str] = field(default_factory=list)
    archives: dict[str, None] = field(default_factory=dict)
    """Names of those that hold what is missing."""

    def check_cities(self, files: Files) -> None:
        """Count the cities of which there is nothing at all."""
        there = {video.partition("_")[0] for table in (files.frames, files.labels) for video in table}
        for city in CITIES[files.split]:
            if city not in there:
                self.cities.append(f"{files.split}/{city}")
                self.archives |= dict.fromkeys(ARCHIVES.values())

    def frame(self, split: Split, name: str) -> None:
        """Count a frame by its name."""
        self.frames.append(f"{FRAMES}/{split}/{name}_leftImg8bit.png")
        self.archives[ARCHIVES[FRAMES]] = None

    def label(self, path: str, archive: str) -> None:
        """Count a label image."""
        self.labels.append(path)
        self.archives[archive] = None

    def parts(self) -> list[str]:
        """Each kind counted, its first thing named."""
        frames = f"{_count(len(self.frames), 'frame')} of {_count(self.clips, 'clip')}"
        kinds = (
            (f"{_count(len(self.cities), 'city', 'cities')}", self.cities),
            (frames, self.frames),
            (_count(len(self.labels), "label"), self.labels),
        )
        return [f"{count} (the first: {things[0]})" for count, things in kinds if things]

    def refuse(self, root: Path) -> None:
        """Raises DatasetError if anything is missing."""
        if parts := self.parts():
            remedy = f"unpack {' and '.join(self.archives)} there, or go on without: --allow-missing"
            raise DatasetError(f"{root}: missing: {', '.join(parts)}", remedy)


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"
