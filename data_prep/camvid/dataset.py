"""CamVid (Brostow et al. 2009), in the two layouts that people have; which one is seen from the files.

SegNet layout: `train/ trainannot/ val/ valannot/ [test/ testannot/]`, PNG or JPEG frames at 1 Hz (val: 15 Hz), a label
of ids for every one. A clip is `clip_length` (default 5) consecutive frames of one sequence, the last one annotated;
the labels of the other frames are hidden from training. Training clips do not overlap by default, so that a hidden
label is never another clip's visible one. Val and test clips end at every frame with enough predecessors (`eval_stride`
1), so each is scored at distance clip_length - 1 from its key frame; the store holds a shared frame once. Each label is
listed in one clip only, so scoring all frames counts none twice; metrics that need every label of a clip (mVC8) want
`clip_length=8, eval_stride=8`. What counts as consecutive: see `_runs.py`.

Original layout: `*_L.png` colour labels, and the decoded video frames (`SEQUENCE/SEQUENCE_NNNNNN.png`, anywhere below
the root) or the video files themselves. Each label gives a clip of `clip_length` (default 30) frames that ends at it.
With the paper's protocol train has 468 clips, test 232, and nothing is val: score with `eval --split test`.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from data_prep._catalog import Catalog, CatalogDataset
from data_prep.camvid import original, segnet
from data_prep.camvid.classes import LABELS, read_color_label, read_id_label
from data_prep.camvid.toys import segnet as make_tree
from ifrkit.core.bounds import Natural
from ifrkit.core.errors import ConfigError, DatasetError
from ifrkit.core.records import ClipRecord, Label, LabelSpace


class Dataset(CatalogDataset):
    """CamVid with 11 classes."""

    class Config(CatalogDataset.Config):
        """Options of CamVid."""

        clip_length: Natural | None = None
        """Frames of a clip, the annotated one last. Default: 5 in the SegNet layout, 30 in the original one."""
        stride: Natural | None = None
        """SegNet layout: frames between the ends of two training clips. Default: clip_length (no overlap)."""
        eval_stride: Natural | None = None
        """SegNet layout: the same for val and test. Default: 1 (scores every frame that has enough predecessors)."""
        protocol: Literal["paper", "segnet"] | None = None
        """Original layout: who is train, val and test. Default: the paper's 468 / 0 / 232; segnet: 367 / 101 / 232."""
        offsets: dict[str, int] = {}
        """Original layout: label number minus number of the decoded frame, for sequences that differ from
        0001TP +6660, others -1 (your decoder may yield one leading frame more or less)."""

    default_size: ClassVar[tuple[int, int] | None] = (360, 480)
    config: Config
    _offset_notes: list[str] | None = None

    def label_space(self) -> LabelSpace:
        return LABELS

    def scan(self) -> Catalog:
        if segnet.matches(self.root):
            self._refuse("SegNet", {"protocol": self.config.protocol, "offsets": self.config.offsets})
            length = self.config.clip_length or 5
            return segnet.scan(self.root, length, self.config.stride or length, self.config.eval_stride or 1)
        found = original.find(self.root)
        if not found.labels:
            raise DatasetError(
                f"{self.root}: not CamVid: neither train/ with trainannot/ (SegNet layout) nor "
                "SEQUENCE_NUMBER_L.png labels (original layout) are here",
                "give the directory that holds them with --root",
            )
        self._refuse("original", {"stride": self.config.stride, "eval_stride": self.config.eval_stride})
        return original.scan(
            self.root, found, self.config.clip_length or 30, self.config.protocol or "paper", self.config.offsets
        )

    def clips(self) -> list[ClipRecord]:
        """All clips. In the original layout, refuses frame numbers that the stills beside the labels contradict."""
        self.offset_notes()
        return super().clips()

    def offset_notes(self) -> list[str]:
        """What matching the 701 still images against the decoded frames says about each sequence."""
        if self._offset_notes is None:
            notes = []
            if isinstance(self.catalog, original.OriginalCatalog):
                notes = original.check_offsets(self.catalog, self.frame, set(self.config.offsets))
            self._offset_notes = notes
        return self._offset_notes

    def read_label(self, path: Path) -> Label:
        return read_color_label(path)[0] if path.stem.endswith("_L") else read_id_label(path)

    def summary(self) -> list[str]:
        """What was found; in the original layout this reads all labels to count colours outside the palette."""
        return [*self.offset_notes(), *super().summary(), *original.unknown_colors(self.catalog)]

    def _refuse(self, layout: str, options: dict[str, object]) -> None:
        for name, value in options.items():
            if value:
                raise ConfigError(
                    f"options.{name} has no meaning in CamVid's {layout} layout", f"remove options.{name}"
                )

    @classmethod
    def make_toy(cls, root: Path, seed: int = 0) -> None:
        """A tiny tree in the SegNet layout (`data_prep.camvid.toys.original` makes one in the other)."""
        make_tree(root, seed)
