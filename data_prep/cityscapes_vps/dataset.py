"""Cityscapes-VPS (Kim et al., CVPR 2020): the 500 validation clips of Cityscapes with labels on every fifth frame.

    ROOT/leftImg8bit_sequence/val/...  ROOT/gtFine/val/..._gtFine_color.png          Cityscapes, as downloaded
    ROOT/cityscapes_vps/train/cls/0001_0001_frankfurt_000000_000279_final_mask.png   train_gt.zip
    ROOT/cityscapes_vps/val/cls/...                                                  val_gt.zip

Frames 5, 10, 15, 25 and 30 of a clip (counted from 1) have the new labels, as colour images. Frame 20 has its label of
Cityscapes, read by its colours too, so that all labels of a clip agree. `labelmap/`, which the authors' scripts
generate, may stand in for `cls/`. Their split is 400, 50 and 50 videos; of the last 50 only frame 20 has a published
label.

In the experiment of IFR's Tables 2 and 8, frame 20 of a fifth of the videos (100) trains. Scored are frames 5, 10, 15
and 20 of these, whose labels are hidden from training (but for frame 20), and frame 20 of the other 400:

    ifrkit eval --metric mIoU --split train --frames all       ifrkit eval --metric mIoU --split val
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated

from msgspec.structs import replace

from data_prep._catalog import Catalog
from data_prep.cityscapes.classes import read_colors, read_train_ids
from data_prep.cityscapes.clips import SequenceDataset
from data_prep.cityscapes.files import ANNOTATED, FRAMES, LABELS, LENGTH, Anchor, Missing, anchors, find, unclaimed
from data_prep.cityscapes.files import ARCHIVES as CITYSCAPES
from data_prep.cityscapes_vps.toys import make_tree
from ifrkit.core.bounds import Natural
from ifrkit.core.config import FileContent
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.core.records import ClipRecord, Label
from ifrkit.media.lists import read_list

FOLDER = "cityscapes_vps"
ARCHIVES = "train_gt.zip and val_gt.zip of Cityscapes-VPS"
STEP = 5
_FRAME = re.compile(r"[A-Za-z-]+_\d{6}_\d{6}")
_MASK = re.compile(rf"\d{{4}}_\d{{4}}_(?P<frame>{_FRAME.pattern})_final_mask\.png")


class Dataset(SequenceDataset):
    """Cityscapes-VPS with the 19 classes of Cityscapes."""

    class Config(SequenceDataset.Config):
        """Options of Cityscapes-VPS."""

        train_videos: Natural | None = None
        """Videos to train on, drawn by `seed`; all others are val. Default: a fifth (the paper's 100 of 500)."""
        train_list: Annotated[str | None, FileContent()] = None
        """The training videos by list instead (a file, any frame of a video on each line)."""

    config: Config

    def scan(self) -> Catalog:
        catalog, missing = Catalog(), Missing()
        files = find(self.root, "val", ("color",))
        masks = self._masks()
        missing.check_cities(files)
        videos = anchors(files.labels)
        for anchor in unclaimed(files, videos):
            path = f"{LABELS}/val/{anchor.frame(anchor.number)}_gtFine_color.png"
            missing.label(path, CITYSCAPES[LABELS])
        if not videos:
            missing.refuse(self.root)
        trained = self._trained(videos, masks)
        for anchor in videos:
            clip = self.cut(files, anchor, catalog, missing)
            if clip:
                split = "train" if anchor in trained else "val"
                catalog.labels[anchor.frame(anchor.number)] = files.labels[anchor.video][anchor.number]
                catalog.clips.append(_labeled(replace(clip, split=split), anchor, masks, catalog))
            for name in _lacking(anchor, masks):
                missing.label(f"{FOLDER}/*/cls/*_{name}_final_mask.png", ARCHIVES)
        catalog.clips.sort(key=lambda clip: clip.split)
        new = sum(any(name in masks for name in _new_labels(anchor)) for anchor in videos)
        how = self.config.train_list or f"seed {self.seed}"
        catalog.notes = [files.note(), f"{new} of {len(videos)} videos have new labels; {len(trained)} train, by {how}"]
        return self.finish(catalog, missing)

    def _masks(self) -> dict[str, Path]:
        """Frame (without its city's directory) -> its new label."""
        found: dict[str, Path] = {}
        for kind in ("labelmap", "cls"):
            for path in sorted((self.root / FOLDER).glob(f"*/{kind}/*_final_mask.png")):
                if match := _MASK.fullmatch(path.name):
                    found[match["frame"]] = path
        if not found:
            fault = f"{self.root / FOLDER}: no labels: no train/cls/*_final_mask.png and no val/cls/"
            raise DatasetError(fault, f"unpack {ARCHIVES} there (beside {FRAMES}/ and {LABELS}/)")
        return found

    def _trained(self, videos: list[Anchor], masks: dict[str, Path]) -> set[Anchor]:
        if self.config.train_list is not None:
            if self.config.train_videos is not None:
                raise ConfigError("options.train_list and options.train_videos exclude each other", "give one of them")
            return _listed(Path(self.config.train_list), videos)
        # A video without new labels has nothing to score but its trained frame.
        able = [anchor for anchor in videos if any(name in masks for name in _new_labels(anchor))]
        count = self.config.train_videos or max(1, round(len(videos) / 5))
        if count > len(able):
            fault = f"{self.root / FOLDER}: {count} training videos are wanted, {len(able)} have labels"
            raise DatasetError(fault, f"unpack {ARCHIVES}, or lower options.train_videos")
        return set(sorted(able, key=lambda a: hashlib.sha256(f"{self.seed}\x1f{a.name}".encode()).digest())[:count])

    def read_label(self, path: Path) -> Label:
        return read_train_ids(path) if path.parent.name == "labelmap" else read_colors(path)

    @classmethod
    def make_toy(cls, root: Path, seed: int = 0) -> None:
        """Six videos, one of them without new labels (`data_prep.cityscapes_vps.toys`)."""
        make_tree(root, seed)


def _new_labels(anchor: Anchor) -> list[str]:
    """Names of frames 5, 10, 15, 25 and 30, as label files have them."""
    numbers = (anchor.numbers[i] for i in range(STEP - 1, LENGTH, STEP) if i != ANNOTATED)
    return [f"{anchor.video}_{number:06}" for number in numbers]


def _lacking(anchor: Anchor, masks: dict[str, Path]) -> list[str]:
    """The new labels that a video lacks; a video without any is one of the unpublished ones."""
    there = [name in masks for name in _new_labels(anchor)]
    return [name for name, found in zip(_new_labels(anchor), there, strict=True) if any(there) and not found]


def _labeled(clip: ClipRecord, anchor: Anchor, masks: dict[str, Path], catalog: Catalog) -> ClipRecord:
    """The clip with frame 20 annotated and the new labels hidden; their files go into the catalog."""
    hidden = []
    for position, frame in enumerate(clip.frames):
        name = frame.rpartition("/")[2]
        if name in masks and name != anchor.name:
            hidden.append(position)
            catalog.labels[frame] = masks[name]
    at = clip.frames.index(anchor.frame(anchor.number))
    return replace(clip, annotated=at, labeled=(at,), hidden=tuple(hidden))


def _listed(path: Path, videos: list[Anchor]) -> set[Anchor]:
    try:
        lines = [line for line in read_list(path) if line.strip() and not line.startswith("#")]
    except DatasetError as error:
        raise ConfigError(f"options.train_list: {error.message}", error.remedy) from error
    by_frame = {f"{anchor.video}_{number:06}": anchor for anchor in videos for number in anchor.numbers}
    names = [match[0] if (match := _FRAME.search(line)) else line for line in lines]
    unknown = [line for line, name in zip(lines, names, strict=True) if name not in by_frame]
    if unknown:
        fault = f"{path}: lines that name no video of this copy: {len(unknown)}, first {unknown[0]}"
        raise DatasetError(fault, "write a frame of a video on each line, like frankfurt_000000_000294")
    if not names:
        raise DatasetError(f"{path} lists no video", "write a frame of a video on each line")
    return {by_frame[name] for name in names}
