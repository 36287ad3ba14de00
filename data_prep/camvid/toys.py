"""Tiny trees with the real names and formats of CamVid's layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_prep._toys import picture, save, save_video
from data_prep.camvid.classes import LABELS, SEGNET_VOID
from ifrkit.core.records import Frame, Label
from ifrkit.media.video import VideoReader

_COLORS = np.array(LABELS.colors, np.uint8)
_CLASSES = LABELS.num_classes


def segnet(root: Path, seed: int = 0) -> None:
    """SegNet layout: two training sequences (one with 00901 in place of 00900), val at step 2, a test sequence."""
    _segnet_split(root, "train", [f"0001TP_{n:06}" for n in range(6690, 6690 + 11 * 30, 30)], seed)
    numbers = [*range(780, 900, 30), 901, *range(930, 1080, 30), *range(4350, 4500, 30)]
    _segnet_split(root, "train", [f"0016E5_{n:05}" for n in numbers], seed)
    _segnet_split(root, "val", [f"0016E5_{n:05}" for n in range(7959, 7977, 2)], seed)
    _segnet_split(root, "test", [f"Seq05VD_f{n:05}" for n in range(0, 180, 30)], seed)


def _segnet_split(root: Path, split: str, names: list[str], seed: int) -> None:
    for name in names:
        video, _, number = name.partition("_")
        image, ids = picture(video, int(number.lstrip("f")) // 2, _CLASSES, seed)
        ids[:2] = SEGNET_VOID
        save(root / split / f"{name}.png", image)
        save(root / f"{split}annot" / f"{name}.png", ids)


def original(root: Path, seed: int = 0) -> None:
    """Original layout: one sequence as a video file, two as decoded frames; stills; one label with a bad colour."""
    labels = {"0001TP": [6690, 6720], "0016E5": [390, 420, 422, 424], "Seq05VD": [0, 30]}
    for video, numbers in labels.items():
        offset = 6660 if video == "0001TP" else -1
        for m in numbers:
            frame, ids = _moment(video, m - offset, seed)
            stem = f"{video}_{'f' if video == 'Seq05VD' else ''}{m:0{6 if video == '0001TP' else 5}}"
            colors = _COLORS[ids]
            colors[:2] = 0
            if stem == "0016E5_00424":
                colors[2, :7] = (1, 2, 3)
            save(root / "LabeledApproved_full" / f"{stem}_L.png", colors)
            save(root / "701_StillsRaw_full" / f"{stem}.png", frame)
    video_file = root / "01TP_extract.avi"
    save_video(video_file, (_moment("0001TP", n, seed)[0] for n in range(62)))
    reader = VideoReader(video_file)
    for m in labels["0001TP"]:
        save(root / "701_StillsRaw_full" / f"0001TP_{m:06}.png", reader.read(m - 6660))
    for video, decoded in (("0016E5", range(360, 429)), ("Seq05VD", range(1, 34))):
        for n in decoded:
            save(root / "video_image" / video / f"{video}_{n:06}.png", _moment(video, n, seed)[0])


def _moment(video: str, n: int, seed: int) -> tuple[Frame, Label]:
    return picture(video, n, _CLASSES, seed)
