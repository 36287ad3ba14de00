"""Labels that lie beside their frames, as VSPW has them: VIDEO/origin/000001.jpg and VIDEO/mask/000001.png."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from ifrkit.core.errors import DatasetError
from ifrkit.media.litter import Left
from ifrkit.media.search import Found, Video
from ifrkit.media.walk import below

_FRAMES = frozenset({"origin", "original", "image", "images", "img", "imgs", "frame", "frames", "rgb", "jpegimages"})
_MASKS = frozenset({"mask", "masks", "label", "labels", "gt", "annotation", "annotations", "segmentation"})


def part_masks(found: Found, top: Path) -> dict[str, str]:
    """Take directories of label images out of the videos: those that lie beside the directory of their frames.

    Their names say it (VIDEO/origin and VIDEO/mask), and every image in them has a frame of its name. Gives directory
    of labels -> directory of frames, both below `top`.
    """
    videos: dict[Path, list[Video]] = defaultdict(list)
    for video in found.videos:
        if video.images and video.path != top:
            videos[video.path].append(video)
    masks: dict[str, str] = {}
    for path in videos:
        frames = [p for p in videos if p.parent == path.parent and p.name.lower() in _FRAMES]
        if path.name.lower() in _MASKS and len(frames) == 1 and _stems(videos[path]) <= _stems(videos[frames[0]]):
            masks[below(path, top)] = below(frames[0], top)
    found.videos = [video for video in found.videos if not video.images or below(video.path, top) not in masks]
    return masks


def leave_masks(found: Found, top: Path) -> None:
    """The same where no labels are read: they are left out by name."""
    images = {below(video.path, top): len(video.images) for video in found.videos if video.images}
    for place in part_masks(found, top):
        found.left.add(Left.MASKS, place, images[place])


def moved(name: str, masks: Mapping[str, str]) -> str:
    """What a label is called if it lay where its frame lies."""
    directory, _, stem = name.rpartition("/")
    return f"{masks[directory]}/{stem}" if directory in masks else name


def check_apart(labels: Mapping[str, str], frames: Iterable[Path], top: Path) -> None:
    """Raise DatasetError where a file is a frame and a label. labels: frame name -> the file of its label."""
    known = {os.path.realpath(path) for path in frames}
    both = [place for place in labels.values() if os.path.realpath(place) in known]
    if both:
        raise DatasetError(
            f"{both[0]}: taken as a frame and as a label ({len(both)} such files)",
            f"name the directory of the labels with --labels: it holds no frames, and {top} no labels",
        )


def _stems(videos: Iterable[Video]) -> set[str]:
    return {path.stem for video in videos for path in video.images}
