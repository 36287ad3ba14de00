"""Cityscapes (Cordts et al., CVPR 2016) with the frames around its labels, as downloaded.

    ROOT/leftImg8bit_sequence/train/aachen/aachen_000000_000000_leftImg8bit.png ...     30 frames for every label
    ROOT/gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png ...               or generated *_labelTrainIds.png

2975 training and 500 validation clips of 30 frames; the 20th is annotated. Label ids become the 19 train ids here, the
others are void. Frames and labels are 1024x2048 and are stored at 512x1024 unless `size` says otherwise.

Anything that a complete copy has and this one lacks is an error, since a smaller training set under the same name would
be a silent mistake. With `allow_missing`, of a clip with gaps the part around its annotated frame stays, up to the
nearest gaps; clips without their label or annotated frame are left out. So a copy that holds only the frames of a study
is enough.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from data_prep._catalog import Catalog
from data_prep.cityscapes.classes import read_label_ids, read_train_ids
from data_prep.cityscapes.clips import SequenceDataset
from data_prep.cityscapes.files import ARCHIVES, FRAMES, LABELS, Files, Missing, anchors, find, unclaimed
from data_prep.cityscapes.toys import make_tree
from ifrkit.core.errors import DatasetError
from ifrkit.core.records import Label


class Dataset(SequenceDataset):
    """Cityscapes with 19 classes."""

    class Config(SequenceDataset.Config):
        """Options of Cityscapes."""

        test: bool = False
        """Also the 1525 test clips, which have no labels."""

    config: Config

    def scan(self) -> Catalog:
        if not (self.root / LABELS).is_dir() and not (self.root / FRAMES).is_dir():
            fault = f"{self.root}: not Cityscapes: neither {LABELS}/ nor {FRAMES}/ is here"
            raise DatasetError(fault, f"unpack {' and '.join(ARCHIVES.values())} there, or correct --root")
        catalog, missing = Catalog(), Missing()
        for split in ("train", "val", "test") if self.config.test else ("train", "val"):
            files = find(self.root, split, ("labelIds", "labelTrainIds"))
            missing.check_cities(files)
            catalog.notes.append(files.note())
            self._clips_of(files, catalog, missing)
        return self.finish(catalog, missing)

    def _clips_of(self, files: Files, catalog: Catalog, missing: Missing) -> None:
        known = anchors(files.labels)
        bare = unclaimed(files, known)
        if files.split == "test":  # its label images are empty; all that they tell is where clips are
            known, bare = known or bare, []
        for anchor in known:
            clip = self.cut(files, anchor, catalog, missing)
            if clip and files.split != "test":
                name = anchor.frame(anchor.number)
                at = clip.frames.index(name)
                catalog.labels[name] = files.labels[anchor.video][anchor.number]
                clip = replace(clip, annotated=at, labeled=(at,))
            catalog.clips += [clip] if clip else []
        for anchor in bare:
            path = f"{LABELS}/{files.split}/{anchor.frame(anchor.number)}_gtFine_labelIds.png"
            missing.label(path, ARCHIVES[LABELS])

    def read_label(self, path: Path) -> Label:
        return read_train_ids(path) if path.stem.endswith("_labelTrainIds") else read_label_ids(path)

    @classmethod
    def make_toy(cls, root: Path, seed: int = 0) -> None:
        """A tree of all cities with a clip or two each (`data_prep.cityscapes.toys`)."""
        make_tree(root, seed)
