"""CamVid as its authors publish it: 701 colour labels, and four videos (or their decoded frames).

Numbers: `n` is the number of a decoded frame, the first being 0 for OpenCV. A label's number `m` is that of the
original recording: m = n + offset, with offset 6660 for 0001TP and -1 for the others. Frame names carry n, as published
lists do (`0016E5/0016E5_000391` for the label `0016E5_00390_L.png`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep._catalog import Catalog
from data_prep.camvid.classes import read_color_label
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.core.records import ClipRecord, Frame, Split
from ifrkit.media.images import list_images, read_rgb
from ifrkit.media.litter import Left, shown
from ifrkit.media.names import IMAGES
from ifrkit.media.source import Source
from ifrkit.media.video import SUFFIXES as VIDEOS
from ifrkit.media.walk import walk

OFFSETS = {"0001TP": 6660, "0006R0": -1, "0016E5": -1, "Seq05VD": -1}
"""Sequence -> label number minus decoded frame number."""
_ALIASES = {"01tp_extract": "0001TP", "01tp": "0001TP", "0005vd": "Seq05VD"} | {s.lower(): s for s in OFFSETS}
_LABEL = re.compile(rf"(?P<video>{'|'.join(OFFSETS)})_f?(?P<number>\d+)_L", re.IGNORECASE)
_NUMBER = re.compile(r"(?:.*\D)?(?P<number>\d+)")

_STILLS_CHECKED = 3
_SHIFTS = range(-2, 3)
_SAME = 2.0
"""Mean absolute difference of 8-bit values below which a still and a decoded frame are the same picture."""


@dataclass
class OriginalCatalog(Catalog):
    """stills: frame name -> the published still image of that moment. offsets: sequence -> the offset in use."""

    stills: dict[str, Path] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)


@dataclass
class Found:
    """Files of the original layout, by sequence.

    labels: sequence -> label number -> file. stills: the same for the still images. videos: sequence -> video files;
    directories: sequence -> directories of decoded frames. left: what is passed over.
    """

    labels: dict[str, dict[int, Path]] = field(default_factory=dict)
    stills: dict[str, dict[int, Path]] = field(default_factory=dict)
    videos: dict[str, list[Path]] = field(default_factory=dict)
    directories: dict[str, list[Path]] = field(default_factory=dict)
    left: Left = field(default_factory=Left)


def find(root: Path) -> Found:
    """Look through the whole tree once."""
    found = Found()
    for here, files in walk(root, found.left):
        sequence = _ALIASES.get(here.name.lower())
        if sequence and any(f.suffix.lower() in IMAGES and not f.stem.endswith("_L") for f in files):
            found.directories.setdefault(sequence, []).append(here)
        for path in files:
            alias = _ALIASES.get(path.stem.lower())
            if path.suffix.lower() in VIDEOS and alias:
                found.videos.setdefault(alias, []).append(path)
            elif path.suffix.lower() in IMAGES:
                is_label = path.stem.endswith("_L")
                match = _LABEL.fullmatch(path.stem if is_label else f"{path.stem}_L")
                if match and (is_label or sequence is None):
                    table = found.labels if is_label else found.stills
                    table.setdefault(_ALIASES[match["video"].lower()], {})[int(match["number"])] = path
    return found


def split_of(sequence: str, number: int, protocol: str) -> Split:
    """Which split a label belongs to: the paper's (train, test), or the widespread 367/101/233."""
    if sequence == "Seq05VD" or (sequence == "0001TP" and number >= 8550):
        return "test"
    if protocol == "segnet" and sequence == "0016E5" and 7959 <= number <= 8159:
        return "val"
    return "train"


def scan(root: Path, found: Found, length: int, protocol: str, offsets: dict[str, int]) -> OriginalCatalog:
    """One clip of `length` frames for every label that has enough predecessors."""
    unknown = sorted(set(offsets) - set(OFFSETS))
    if unknown:
        raise ConfigError(f"options.offsets names {unknown[0]!r}", f"the sequences are {', '.join(OFFSETS)}")
    catalog = OriginalCatalog(offsets=OFFSETS | offsets, notes=found.left.lines())
    for sequence, labels in sorted(found.labels.items()):
        sources = _sources(sequence, found)
        if sources is None:
            catalog.notes.append(f"{sequence}: {len(labels)} labels left out: no {sequence}/ frames and no video here")
            continue
        offset = catalog.offsets[sequence]
        _cut(sequence, labels, sources, offset, length, protocol, catalog)
        for number, path in found.stills.get(sequence, {}).items():
            name = _name(sequence, number - offset)
            if name in catalog.labels:
                catalog.stills[name] = path
    if not catalog.clips:
        raise DatasetError(
            f"{root}: labels, but no frames: looked for directories {', '.join(OFFSETS)} with decoded frames and for "
            "01TP_extract.avi, 0006R0.MXF, 0016E5.MXF, 0005VD.MXF",
            "put the videos or their decoded frames below the root",
        )
    catalog.clips.sort(key=lambda clip: ("train", "val", "test").index(clip.split))
    return catalog


def _sources(sequence: str, found: Found) -> Path | dict[int, Path] | None:
    """A sequence's video file, or its decoded frames by number (preferred where both exist)."""
    directories, videos = found.directories.get(sequence, []), found.videos.get(sequence, [])
    for several in (directories, videos):
        if len(several) > 1:
            raise DatasetError(f"{several[0]} and {several[1]} both hold {sequence}", "keep one of them below the root")
    if directories:
        images = list_images(directories[0])
        matches = ((_NUMBER.fullmatch(p.stem), p) for p in images)
        return {int(m["number"]): p for m, p in matches if m}
    return videos[0] if videos else None


def _name(sequence: str, n: int) -> str:
    return f"{sequence}/{sequence}_{n:06}"


def _cut(
    sequence: str,
    labels: dict[int, Path],
    sources: Path | dict[int, Path],
    offset: int,
    length: int,
    protocol: str,
    catalog: Catalog,
) -> None:
    """Append a sequence's clips. Clips share frames where labels are denser than clips; each label is in one clip."""
    first = 0 if isinstance(sources, Path) else min(1, *sources)
    dropped = []
    for number, path in sorted(labels.items()):
        last = number - offset
        if last - length + 1 < first:
            dropped.append(path.name)
            continue
        for n in range(last - length + 1, last + 1):
            if isinstance(sources, Path):
                catalog.frames[_name(sequence, n)] = Source(sources, n)
            elif n in sources:
                catalog.frames[_name(sequence, n)] = Source(sources[n])
            else:
                raise DatasetError(
                    f"{next(iter(sources.values())).parent}: frame {n} is missing; {path.name} needs {length} frames "
                    f"up to {last}",
                    "decode the video with frame pass-through, or check options.offsets",
                )
        catalog.labels[_name(sequence, last)] = path
        catalog.clips.append(
            ClipRecord(
                name=f"{sequence}_{last:06}",
                video=sequence,
                split=split_of(sequence, number, protocol),
                frames=tuple(_name(sequence, n) for n in range(last - length + 1, last + 1)),
                annotated=length - 1,
                labeled=(length - 1,),
            )
        )
    where = sources if isinstance(sources, Path) else next(iter(sources.values())).parent
    note = f"{sequence}: {len(labels)} labels, frames from {where.name} (label = frame {offset:+d})"
    catalog.notes.append(note + (f"; without {length - 1} predecessors: {shown(dropped)}" if dropped else ""))


def check_offsets(catalog: OriginalCatalog, frame: Callable[[str], Frame], overridden: set[str]) -> list[str]:
    """Match stills against decoded frames n-2..n+2: a label on the wrong frame is an error nobody sees later.

    Raises DatasetError when the stills agree on another offset than the one assumed; says what it found otherwise.
    """
    notes = []
    for sequence in OFFSETS:
        names = [n for n in catalog.labels if n.startswith(f"{sequence}/") and n in catalog.stills][:_STILLS_CHECKED]
        if not names:
            continue
        shifts = [_best_shift(catalog, frame, name) for name in names]
        if set(shifts) == {0}:
            notes.append(f"{sequence}: frame numbers confirmed by {len(names)} stills")
        elif len(set(shifts)) == 1 and shifts[0] is not None and sequence not in overridden:
            right = catalog.offsets[sequence] - shifts[0]
            raise DatasetError(
                f"{catalog.stills[names[0]]}: shows the decoded frame {shifts[0]:+d} from the one its label is for",
                f"your decoder counts otherwise: --set options.offsets.{sequence}={right}",
            )
        else:
            notes.append(f"{sequence}: stills do not confirm the frame numbers (check options.offsets)")
    return notes


def _best_shift(catalog: OriginalCatalog, frame: Callable[[str], Frame], name: str) -> int | None:
    """Which neighbour of a frame its still shows; None when it is not clear."""
    still = read_rgb(catalog.stills[name])[::2, ::2].astype(np.int16)
    sequence, n = name.split("/")[0], int(name.rpartition("_")[2])
    differences = {}
    for shift in _SHIFTS:
        neighbour = _name(sequence, n + shift)
        if neighbour in catalog.frames:
            image = frame(neighbour)[::2, ::2]
            if image.shape != still.shape:
                return None
            differences[shift] = float(np.abs(image - still).mean())
    best = min(differences, key=lambda shift: differences[shift])
    return best if differences[best] < _SAME else None


def unknown_colors(catalog: Catalog) -> list[str]:
    """Original labels with colours outside the palette (anti-aliased by mistake); those pixels become void."""
    lines = []
    for path in catalog.labels.values():
        if path.stem.endswith("_L"):
            count = read_color_label(path)[1]
            if count:
                lines.append(f"{path.name}: {count} pixels of unknown colours become void")
    return lines
