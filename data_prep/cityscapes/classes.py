"""The 19 training classes of Cityscapes, and how its label images name them (cityscapesScripts `labels.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.errors import DatasetError
from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.media.images import read_raw_label
from ifrkit.media.palette import RGB, ids_of_colors


class Class(NamedTuple):
    """A training class: the id that `*_labelIds.png` hold, and the colour that `*_color.png` have."""

    label_id: int
    color: RGB


CLASSES = {
    "road": Class(7, (128, 64, 128)),
    "sidewalk": Class(8, (244, 35, 232)),
    "building": Class(11, (70, 70, 70)),
    "wall": Class(12, (102, 102, 156)),
    "fence": Class(13, (190, 153, 153)),
    "pole": Class(17, (153, 153, 153)),
    "traffic light": Class(19, (250, 170, 30)),
    "traffic sign": Class(20, (220, 220, 0)),
    "vegetation": Class(21, (107, 142, 35)),
    "terrain": Class(22, (152, 251, 152)),
    "sky": Class(23, (70, 130, 180)),
    "person": Class(24, (220, 20, 60)),
    "rider": Class(25, (255, 0, 0)),
    "car": Class(26, (0, 0, 142)),
    "truck": Class(27, (0, 0, 70)),
    "bus": Class(28, (0, 60, 100)),
    "train": Class(31, (0, 80, 100)),
    "motorcycle": Class(32, (0, 0, 230)),
    "bicycle": Class(33, (119, 11, 32)),
}
"""In the order of their train ids. The other label ids (0-6, 9, 10, 14, 15, 16, 18, 29, 30) are void."""

LABEL_IDS = 34
"""Label ids are 0-33. License plate is -1, but no published image holds it."""
LABELS = LabelSpace(names=tuple(CLASSES), colors=tuple(c.color for c in CLASSES.values()))

_COLORS = {c.color: index for index, c in enumerate(CLASSES.values())}
_TRAIN_ID = np.full(LABEL_IDS, IGNORE, np.uint8)
_TRAIN_ID[[c.label_id for c in CLASSES.values()]] = np.arange(len(CLASSES))


def read_label_ids(path: Path) -> Label:
    """A `*_gtFine_labelIds.png` as train ids. 255 in it is refused: that file holds train ids under a wrong name."""
    return _TRAIN_ID[_checked(path, {*range(LABEL_IDS)}, f"label ids are 0-{LABEL_IDS - 1}")]


def read_train_ids(path: Path) -> Label:
    """A generated label image: train ids 0-18, 255 = void."""
    last = len(CLASSES) - 1
    return _checked(path, {*range(last + 1), IGNORE}, f"train ids are 0-{last}, and {IGNORE} for void").astype(np.uint8)


def read_colors(path: Path) -> Label:
    """A colour image (RGB or RGBA) as train ids; all colours but the 19 are void.

    Poles in a group have the colour of poles, so they are poles here, but void in the two kinds of id images.
    """
    raw = read_raw_label(path, palette=True)
    if raw.ndim != 3:
        raise DatasetError(f"{path}: no colours in it", "unpack its archive again")
    label, unknown = ids_of_colors(raw, _COLORS)
    if unknown.all():
        raise DatasetError(f"{path}: no pixel has the colour of a Cityscapes class", "unpack its archive again")
    return label


def _checked(path: Path, known: set[int], expected: str) -> NDArray[np.int64]:
    raw = read_raw_label(path)
    if raw.ndim != 2:
        raise DatasetError(f"{path}: colours, not class ids", "unpack its archive again")
    # Counting is far cheaper than sorting; ids that are none at all would make it expensive.
    if not 0 <= raw.min() <= raw.max() <= IGNORE or not known.issuperset(np.flatnonzero(np.bincount(raw.ravel()))):
        wrong = sorted({int(i) for i in np.unique(raw)} - known)
        fault = f"{path}: holds {', '.join(map(str, wrong[:8]))}, but {expected}"
        raise DatasetError(fault, "unpack or generate it again")
    return raw
