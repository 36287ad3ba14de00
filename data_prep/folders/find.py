"""Find the user's videos on disk, the names of their frames, and which label belongs to which frame."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ifrkit.core.errors import DatasetError
from ifrkit.labels.base import Entry, LabelReader
from ifrkit.media.images import SUFFIXES as IMAGES
from ifrkit.media.images import natural
from ifrkit.media.source import Source
from ifrkit.media.video import SUFFIXES as VIDEOS

_NUMBERED = re.compile(r"(?:(?P<base>.+?)_?)?(?P<number>\d+)")


@dataclass
class Tree:
    """What lies on disk, nothing decoded.

    images: video -> image files in order. videos: video -> video file.
    """

    images: dict[str, list[Path]] = field(default_factory=dict)
    videos: dict[str, Path] = field(default_factory=dict)


@dataclass
class Matches:
    """labels: frame name -> its label. unmatched: label names of no frame, or of frames in several videos."""

    labels: dict[str, Entry] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)


def find_tree(frames: Path, labels: Path) -> Tree:
    """Videos below `frames`: every directory of images, every video file; a flat directory by name up to the number.

    frames may also be one video file. labels: a directory that holds no frames.
    """
    if frames.is_file() and frames.suffix.lower() in VIDEOS:
        return Tree(videos={frames.stem: frames})
    if not frames.is_dir():
        raise DatasetError(f"{frames}: no such directory", "put the frames there, or name them with --frames")
    tree = Tree()
    for here, files in _walk(frames, without=labels):
        name = here.relative_to(frames).as_posix()
        images = [p for p in files if p.suffix.lower() in IMAGES]
        for path in images:
            tree.images.setdefault(_flat_name(path, frames) if here == frames else name, []).append(path)
        for path in (p for p in files if p.suffix.lower() in VIDEOS):
            video = path.relative_to(frames).with_suffix("").as_posix()
            if video in tree.videos:
                raise DatasetError(f"{path} and {tree.videos[video]}: both would be video {video!r}", "rename one")
            tree.videos[video] = path
    for video in sorted(set(tree.images) & set(tree.videos)):
        raise DatasetError(f"{tree.videos[video]}: its frames are also a directory {video!r}", "keep one of the two")
    if not tree.images and not tree.videos:
        raise DatasetError(
            f"{frames}: no images and no video files found",
            f"looked for {', '.join(sorted(IMAGES | VIDEOS))}",
        )
    for paths in tree.images.values():
        paths.sort(key=lambda p: natural(p.stem))
    return tree


def _walk(top: Path, without: Path | None = None) -> Iterator[tuple[Path, list[Path]]]:
    """Directories below `top` (itself too) and their files, sorted; hidden ones and `without` are skipped."""
    for here, directories, files in os.walk(top, followlinks=True):
        place = Path(here)
        directories[:] = sorted(d for d in directories if not d.startswith(".") and place / d != without)
        yield place, sorted(place / f for f in files if not f.startswith("."))


def _flat_name(path: Path, directory: Path) -> str:
    """The video of an image that lies in no sub-directory: its name up to the number."""
    match = _NUMBERED.fullmatch(path.stem)
    return (match["base"] or "").rstrip("-_. ") or directory.name if match else directory.name


def frame_names(tree: Tree, counts: dict[str, int]) -> dict[str, dict[str, Source]]:
    """video -> frame name -> source, in order. Names: VIDEO/STEM of an image, VIDEO/BASENAME_NNNNNN of a video file.

    counts: number of frames in each video file; their numbers start at 0.
    """
    result: dict[str, dict[str, Source]] = {}
    for video, paths in tree.images.items():
        table = result.setdefault(video, {})
        for path in paths:
            name = f"{video}/{path.stem}"
            if name in table:
                raise DatasetError(f"{path} and {table[name].path}: both would be frame {name!r}", "keep one of them")
            table[name] = Source(path)
    for video, path in tree.videos.items():
        result[video] = {video_frame(video, n): Source(path, n) for n in range(counts[video])}
    return dict(sorted(result.items()))


def video_frame(video: str, number: int) -> str:
    """Name of a frame of a video file: `a/b` number 7 is `a/b/b_000007`."""
    return f"{video}/{video.rpartition('/')[2]}_{number:06}"


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

    def __init__(self, tree: Tree, frames: dict[str, dict[str, Source]]) -> None:
        self._videos = tree.videos
        self._only = next(iter(tree.videos)) if len(frames) == 1 and tree.videos else None
        self._all = {name for table in frames.values() for name in table}
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._flat: dict[str, list[str]] = defaultdict(list)
        for video in tree.images:
            for name in frames[video]:
                self._stems[name.rpartition("/")[2]].append(name)
        for name in self._all:
            self._flat[flat_name(name)].append(name)

    def find(self, written: str) -> list[str]:
        """The frames that `written` may mean: one, none, or several (then it is ambiguous)."""
        if written in self._all:
            return [written]
        directory, _, stem = written.rpartition("/")
        flat = self._flat.get(stem, [])
        if not directory and len(flat) == 1:
            return flat  # it says the video too, which a stem does not
        found = {} if directory else dict.fromkeys(self._stems.get(stem, []))
        match = _NUMBERED.fullmatch(stem)
        if match:
            videos = {directory, "/".join(filter(None, (directory, match["base"])))} & set(self._videos)
            if self._only and not directory and match["base"] == "frame":
                videos.add(self._only)
            for name in (video_frame(video, int(match["number"])) for video in videos):
                found |= {name: None} if name in self._all else {}
        return list(found) or flat


def match_labels(reader: LabelReader, suffix: str, names: Names) -> Matches:
    """Give every label its frame. suffix: end of label names that frame names lack ("_L")."""
    matches = Matches()
    entries = reader.entries()
    for entry in entries:
        written = [name.removesuffix(suffix) for name in entry.names]
        found = next((found for name in written if (found := names.find(name))), [])
        if len(found) != 1:
            matches.unmatched.append(written[0] + (" (in several videos)" if found else ""))
        elif found[0] in matches.labels:
            first, second = (reader.files.where(e.key) for e in (matches.labels[found[0]], entry))
            raise DatasetError(f"{second} and {first}: both label frame {found[0]!r}", "keep one of them")
        else:
            matches.labels[found[0]] = entry
    if entries and not matches.labels:
        raise DatasetError(
            f"{reader.files.path}: none of {len(entries)} labels has a frame's name (first: {matches.unmatched[0]!r})",
            "name labels like their frames, or set options.label_suffix",
        )
    return matches
