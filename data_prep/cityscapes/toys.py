"""A tiny tree with the real names and formats of Cityscapes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep._toys import picture, save
from data_prep.cityscapes.classes import CLASSES, LABEL_IDS
from data_prep.cityscapes.files import CITIES, FRAMES, LABELS, Anchor
from ifrkit.core.records import Frame, Label, Split

SIZE = (32, 64)
"""(height, width); the real one is 1024x2048."""
_LABEL_ID = np.array([c.label_id for c in CLASSES.values()], np.uint8)
_THINGS = _LABEL_ID[11:]
_VOID = np.array(sorted({*range(LABEL_IDS)} - set(_LABEL_ID.tolist())), np.uint8)
_COLOR = np.zeros((LABEL_IDS, 4), np.uint8)
_COLOR[:, 3] = 255
_COLOR[_LABEL_ID, :3] = [c.color for c in CLASSES.values()]


def make_tree(root: Path, seed: int = 0) -> None:
    """`leftImg8bit_sequence` and `gtFine` of all cities, a clip each.

    Three are different: Jena has two recordings, Hamburg and Frankfurt a long one with two clips whose first frames are
    not 000000 (in Hamburg one begins where the other ends). Test labels are void, as the real ones are.
    """
    for split, cities in CITIES.items():
        for city in cities:
            for anchor in _anchors(city):
                make_frames(root, split, anchor, seed)
                make_label(root, split, anchor, seed)


def _anchors(city: str) -> list[Anchor]:
    if city == "hamburg":
        return [Anchor("hamburg_000000", 629), Anchor("hamburg_000000", 659)]
    if city == "frankfurt":
        return [Anchor("frankfurt_000000", 294), Anchor("frankfurt_000000", 576)]
    return [Anchor(f"{city}_{n:06}", 19) for n in range(2 if city == "jena" else 1)]


def moment(video: str, number: int, seed: int = 0) -> tuple[Frame, Label]:
    """A frame and its label ids (0-33); every void id is in the first row."""
    frame, ids = picture(video, number, len(CLASSES), seed, SIZE)
    label = _LABEL_ID[ids]
    label[0] = np.resize(_VOID, SIZE[1])
    return frame, label


def make_frames(root: Path, split: Split, anchor: Anchor, seed: int = 0) -> None:
    """The 30 frames of a clip."""
    for number in anchor.numbers:
        path = root / FRAMES / split / f"{anchor.frame(number)}_leftImg8bit.png"
        save(path, moment(anchor.video, number, seed)[0])


def make_label(root: Path, split: Split, anchor: Anchor, seed: int = 0) -> None:
    """The four files of a label: ids, colours (RGBA), instances (16 bit) and polygons."""
    ids = moment(anchor.video, anchor.number, seed)[1]
    if split == "test":
        ids = np.zeros_like(ids)
    base = root / LABELS / split / anchor.frame(anchor.number)
    save(Path(f"{base}_gtFine_labelIds.png"), ids)
    Image.fromarray(colors(ids)).save(f"{base}_gtFine_color.png")
    instances = np.where(np.isin(ids, _THINGS), 1000 * ids.astype(np.uint16), ids).astype(np.uint16)
    Image.fromarray(instances).save(f"{base}_gtFine_instanceIds.png")
    polygons = {"imgHeight": SIZE[0], "imgWidth": SIZE[1], "objects": []}
    Path(f"{base}_gtFine_polygons.json").write_text(json.dumps(polygons))


def colors(label_ids: Label) -> Frame:
    """(h, w, 4) RGBA colours of label ids; void is black."""
    return _COLOR[label_ids]
