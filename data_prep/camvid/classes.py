"""CamVid's 11 classes, and the 32 colours of its original labels that they group."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ifrkit.core.errors import DatasetError
from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.media.images import read_raw_label
from ifrkit.media.palette import RGB, ids_of_colors

MEMBERS: dict[str, dict[str, RGB]] = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Building": (128, 0, 0),
        "Wall": (64, 192, 0),
        "Bridge": (0, 128, 64),
        "Tunnel": (64, 0, 64),
        "Archway": (192, 0, 128),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {"Road": (128, 64, 128), "LaneMkgsDriv": (128, 0, 192), "LaneMkgsNonDriv": (192, 0, 64)},
    "sidewalk": {"Sidewalk": (0, 0, 192), "ParkingBlock": (64, 192, 128), "RoadShoulder": (128, 128, 192)},
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {"SignSymbol": (192, 128, 128), "Misc_Text": (128, 128, 64), "TrafficLight": (0, 64, 64)},
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "SUVPickupTruck": (64, 128, 192),
        "Truck_Bus": (192, 128, 192),
        "Train": (192, 64, 128),
        "OtherMoving": (128, 64, 64),
    },
    "pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Child": (192, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Animal": (64, 128, 64),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
"""Class -> the original classes it groups, with their label colours; ids are positions. All else is void."""

VOID: RGB = (0, 0, 0)
SEGNET_VOID = 11

LABELS = LabelSpace(names=tuple(MEMBERS), colors=tuple(next(iter(group.values())) for group in MEMBERS.values()))
"""The 11 classes, displayed in the colour of their first member."""


_IDS = {VOID: IGNORE} | {color: index for index, group in enumerate(MEMBERS.values()) for color in group.values()}


def read_color_label(path: Path) -> tuple[Label, int]:
    """An original `*_L.png`: class ids, and the number of pixels with none of the 32 colours (they become void)."""
    raw = read_raw_label(path, palette=True)
    if raw.ndim != 3:
        raise DatasetError(f"{path}: not an RGB label image", "use the original *_L.png files (or the SegNet layout)")
    label, unknown = ids_of_colors(raw, _IDS)
    return label, int(unknown.sum())


def read_id_label(path: Path) -> Label:
    """A SegNet label image: ids 0-10, and 11 (or 255) = void."""
    raw = read_raw_label(path)
    if raw.ndim != 2:
        raise DatasetError(f"{path}: not a label of class ids (0-10, 11 = void)", "use SegNet's *annot images")
    raw = np.where(raw == SEGNET_VOID, IGNORE, raw)
    wrong = sorted({int(i) for i in np.unique(raw)} - {*range(LABELS.num_classes), IGNORE})
    if wrong:
        raise DatasetError(
            f"{path}: label ids {', '.join(map(str, wrong[:8]))} are outside CamVid's label space",
            "expected 0-10, and 11 or 255 for void",
        )
    return raw.astype(np.uint8)
