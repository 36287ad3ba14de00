"""Find the user's videos on disk, the names of their frames, and which label belongs to which frame."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from data_prep.folders.layout import moved
from data_prep.folders.numbered import AllFrames, FileFrames, FileNames, video_frame
from ifrkit.core.encoding import readable
from ifrkit.core.errors import DatasetError
from ifrkit.labels.base import Entry, LabelReader
from ifrkit.media.litter import Left
from ifrkit.media.numbering import jumps
from ifrkit.media.probe import Probed, file_notes, probe
from ifrkit.media.search import Found, Video, search
from ifrkit.media.source import Source
from ifrkit.media.video import VideoReader

_NUMBERED = re.compile(r"(?:(?P<base>.+?)_?)?(?P<number>\d{1,18})")


@dataclass
class Frames:
    """All frames of the user's videos by their names, in order.

    Names are DIRECTORY/STEM of an image, or VIDEO/STEM where it lies in no directory, and VIDEO/BASENAME_NNNNNN of a
    video file, whose numbers start at 0.

    table: video -> frame name -> its pixels' place. begins: video -> frames at which a stretch begins, but for the
    first. files: video -> its file, for those that are one. left: what was not read; lost: frame name -> image, for
    images among that. notes: on files that are cut off.
    """

    table: dict[str, Mapping[str, Source]] = field(default_factory=dict)
    begins: dict[str, tuple[int, ...]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    left: Left = field(default_factory=Left)
    lost: dict[str, Source] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def sources(self) -> AllFrames:
        """Those of all videos together."""
        return AllFrames(self.table.values())

    def names(self, video: str) -> Sequence[str]:
        """The names of a video's frames, in order."""
        table = self.table[video]
        return table.names if isinstance(table, FileFrames) else list(table)

    def stretches(self, video: str) -> list[tuple[int, int]]:
        """Stretches (begin, end) of a video in which no frame number jumps: no clip crosses their ends."""
        return list(pairwise([0, *self.begins[video], len(self.table[video])]))


@dataclass
class Matches:
    """labels: frame name -> its label. unmatched: label names of no frame, or of frames in several videos.

    lost: label names of frames that are left out.
    """

    labels: dict[str, Entry] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def find_videos(frames: Path, labels: Path) -> Found:
    """The videos below `frames`, which may also be one file. labels: a directory that holds none.

    Raises DatasetError for two videos of one name, which labels could not tell apart.
    """
    if not frames.exists():
        raise DatasetError(f"{frames}: no such directory", "put the frames there, or name them with --frames")
    found = search(frames, without=labels)
    first: dict[str, Video] = {}
    for video in found.videos:
        if (other := first.setdefault(video.name, video)) is not video:
            places = [f"{v.path}{' (images)' if v.images else ''}" for v in (other, video)]
            raise DatasetError(f"{places[0]} and {places[1]}: both would be video {video.name!r}", "rename one")
    return found


def read_frames(found: Found, top: Path, track: Callable[[list[Probed]], Iterable[Probed]] = iter) -> Frames:
    """All frames that can be read: images by their headers, those of video files are counted by decoding.

    top: the directory that was searched. track: shows how far it is. Raises DatasetError.
    """
    probed = probe(found.videos, found.left, {top} if top.is_file() else ())
    frames = Frames(left=found.left)
    read = {path for video, facts in probed for path in video.images if path not in facts.faults}
    for video, path in [(v, p) for v in found.videos for p in v.images if p not in read]:
        frames.lost[_image_name(video.name, path, top)] = Source(path)
    frames.lost |= {_image_name(path.parent.name, path, top): Source(path) for path in found.strays}
    for whole, facts in track(probed):
        video = whole.without(facts.faults)
        if video.images:
            frames.table[video.name] = {_image_name(video.name, path, top): Source(path) for path in video.images}
            frames.begins[video.name] = video.begins
        else:
            numbers = VideoReader(video.path).numbers()
            frames.table[video.name] = FileFrames(video.name, video.path, numbers)
            frames.begins[video.name] = jumps(numbers)
            frames.files[video.name] = video.path
            frames.notes += file_notes(video.path.name, numbers, facts.claimed)
    frames.table = dict(sorted(frames.table.items()))
    return frames


def _image_name(video: str, path: Path, top: Path) -> str:
    place = path.parent.relative_to(top).as_posix() if path.parent != top and top.is_dir() else video
    return readable(f"{place}/{path.stem}")


def flat_name(name: str) -> str:
    """A frame's name as one file name: `street/000031` is street_000031, `a/clip/clip_000007` a_clip_000007.

    Labeling tools show it, keep it, and some upload without directories.
    """
    *videos, stem = name.split("/")
    if videos and stem.startswith(videos[-1]):
        following = stem[len(videos[-1]) :][:1]
        if not following.isalnum() or (following.isdigit() and not videos[-1][-1].isdigit()):
            videos.pop()
    return re.sub(r"[^\w.-]+", "_", "_".join([*videos, stem]))


class Names:
    """Finds the frame that a label or a line of a list means.

    Accepted: VIDEO/STEM; STEM where only one video has it; the flat name (see above), in any directory; and for video
    files VIDEO_NUMBER, VIDEO/NUMBER or VIDEO/ANYTHING_NUMBER with any number of leading zeros, and frame_NUMBER, as
    CVAT has it, where there is only one video.
    """

    def __init__(self, table: Mapping[str, Mapping[str, Source]], files: Iterable[str] = ()) -> None:
        self._videos = {_key(file): file for file in files}
        self._only = next(iter(self._videos)) if len(table) == 1 and self._videos else None
        self._files: dict[str, list[FileNames]] = defaultdict(list)
        """Video files by what their names, and their flat names, have before the number."""
        self._images: dict[str, str] = {}
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._flat: dict[str, list[str]] = defaultdict(list)
        for own in table.values():
            if not isinstance(own, FileFrames):
                self._images |= {_key(name): name for name in own}
                for name in own:
                    self._stems[_key(name.rpartition("/")[2])].append(name)
            elif own:
                for first in (own.names[0], flat_name(own.names[0])):
                    self._files[_key(first).rpartition("_")[0]].append(own.names)
        for name in self._images.values():
            self._flat[_key(flat_name(name))].append(name)

    def find(self, written: str) -> list[str]:
        """The frames that `written` may mean: one, none, or several (then it is ambiguous)."""
        key = _key(written)
        found = self._find(key)
        if found or not re.search(r"[/\\\\]", key):
            return found
        parts = [part for part in re.split(r"[/\\\\]+", key) if part not in ("", ".", "..")]
        # Exports and lists often hold a path of the machine that they come from. Its last directory says the video.
        tails = ("/".join(parts[begin:]) for begin in range(len(parts) - 1))
        return next((found for tail in tails if (found := self._find(tail))), [])

    def _find(self, key: str) -> list[str]:
        if (whole := self._whole(key)) is not None:
            return [whole]
        directory, _, stem = key.rpartition("/")
        flat = [*self._flat.get(stem, []), *self._numbered(stem)]
        if not directory and len(flat) == 1:
            return flat  # it says the video too, which a stem does not
        found = {} if directory else dict.fromkeys(self._stems.get(stem, []))
        match = _NUMBERED.fullmatch(stem)
        if match:
            videos = {directory, "/".join(filter(None, (directory, match["base"])))} & self._videos.keys()
            if self._only and not directory and match["base"] == "frame":
                videos.add(self._only)
            names = (_key(video_frame(self._videos[video], int(match["number"]))) for video in videos)
            found |= dict.fromkeys(whole for name in names if (whole := self._whole(name)) is not None)
        return list(found) or flat

    def _whole(self, key: str) -> str | None:
        """The frame of this name."""
        if key in self._images or "/" not in key:
            return self._images.get(key)
        return next(reversed(self._numbered(key)), None)

    def _numbered(self, key: str) -> list[str]:
        """The frames of video files that have this name or flat name, each under its own."""
        before, _, digits = key.rpartition("_")
        found = [name for own in self._files.get(before, ()) if (name := own.numbered(digits)) is not None]
        return found if "/" in key else [name for name in found if self._whole(_key(name)) == name]


def _key(name: str) -> str:
    """A name under which it is found however a system writes it: macOS writes "u" and two dots for one letter."""
    return unicodedata.normalize("NFC", readable(name))


def match_labels(reader: LabelReader, suffix: str, frames: Frames, masks: Mapping[str, str]) -> Matches:
    """Give every label its frame. suffix: end of label names that frame names lack ("_L"). masks: of `part_masks`."""
    matches = Matches()
    names, lost = Names(frames.table, frames.files), Names({"": frames.lost})
    entries = reader.entries()
    for entry in entries:
        written = [moved(name.removesuffix(suffix), masks) for name in entry.names]
        meant = [found for name in written if (found := names.find(name))]
        found = next((found for found in meant if len(found) == 1), meant[0] if meant else [])
        if not found and any(lost.find(name) for name in written):
            matches.lost.append(written[0])
        elif len(found) != 1:
            matches.unmatched.append(written[0] + (" (in several videos)" if found else ""))
        elif found[0] in matches.labels:
            first, second = (reader.files.where(e.key) for e in (matches.labels[found[0]], entry))
            raise DatasetError(f"{second} and {first}: both label frame {found[0]!r}", "keep one of them")
        else:
            matches.labels[found[0]] = entry
    if entries and not matches.labels:
        first = [*matches.unmatched, *matches.lost][0]
        raise DatasetError(
            f"{reader.files.path}: none of {len(entries)} labels has a frame's name (first: {first!r})",
            "name labels like their frames, or set options.label_suffix",
        )
    return matches
