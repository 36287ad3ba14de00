"""CamVid (Brostow et al. 2009), in the layouts that people have.

SegNet layout: `train/ trainannot/ val/ valannot/ [test/ testannot/]`, PNG or JPEG frames at 1 Hz (val: 15 Hz), a
label of ids for every one. A clip is `clip_length` (default 5) consecutive frames of one sequence, the last one
annotated; the labels of the other frames are hidden from training. Training clips do not overlap by default, so a hidden
label never is another clip's visible one. Val and test clips end at every frame with enough predecessors (`eval_stride`
1), so each is scored at distance clip_length - 1 from its key frame; the store holds a shared frame once.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from data_prep import _camvid_segnet as segnet
from data_prep._camvid_classes import LABELS, read_id_label
from data_prep._catalog import Catalog, CatalogDataset
from data_prep.base import Label
from ifrkit.data.records import LabelSpace
from ifrkit.errors import DatasetError


class Dataset(CatalogDataset):
    """CamVid with 11 classes."""

    class Config(CatalogDataset.Config):
        """Options of CamVid."""

        clip_length: int | None = Field(None, ge=1)
        """Frames of a clip, the annotated one last. Default: 5 in the SegNet layout, 30 in the original one."""
        stride: int | None = Field(None, ge=1)
        """SegNet layout: frames between the ends of two training clips. Default: clip_length (no overlap)."""
        eval_stride: int = Field(1, ge=1)
        """SegNet layout: the same for val and test; 1 scores every frame that has enough predecessors."""

    default_size: ClassVar[tuple[int, int] | None] = (360, 480)
    config: Config

    def label_space(self) -> LabelSpace:
        return LABELS

    def scan(self) -> Catalog:
        if segnet.matches(self.root):
            length = self.config.clip_length or 5
            return segnet.scan(self.root, length, self.config.stride or length, self.config.eval_stride)
        raise DatasetError(f"{self.root}: not CamVid: no train/ with trainannot/ (SegNet layout)")

    def read_label(self, path: Path) -> Label:
        return read_id_label(path)
