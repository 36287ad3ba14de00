"""A tiny tree as a user would bring it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_prep._toys import picture, save, save_video

CLASSES = """\
classes:
  sky: [70, 130, 180]
  building: {color: [70, 70, 70], id: 11}
  road: {color: [128, 64, 128], id: 7}
ignore: [255, [0, 0, 0]]
"""
_COLORS = np.array([(70, 130, 180), (70, 70, 70), (128, 64, 128)], np.uint8)
_LABELED = {"street": [12, 27], "park": [20], "night": [10, 15]}


def make_tree(root: Path, seed: int = 0) -> None:
    """A directory of PNG frames, a flat series of JPEG frames, an AVI; colour labels."""
    for n in range(40):
        save(root / "frames" / "street" / f"{n:06}.png", picture("street", n, 3, seed)[0])
        save(root / "frames" / f"park_{n:04}.jpg", picture("park", n, 3, seed)[0])
    save_video(root / "frames" / "night.avi", (picture("night", n, 3, seed)[0] for n in range(35)))
    written = {"street": "street/{:06}", "park": "park_{:04}", "night": "night_{:06}"}
    for video, numbers in _LABELED.items():
        for n in numbers:
            colors = _COLORS[picture(video, n, 3, seed)[1]]
            colors[:2] = 0
            save(root / "labels" / f"{written[video].format(n)}.png", colors)
    (root / "classes.yaml").write_text(CLASSES)
