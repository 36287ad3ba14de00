"""The classes of the synthetic street."""

from __future__ import annotations

CLASSES: dict[str, tuple[int, int, int]] = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70), "sky": (70, 130, 180),
    "vegetation": (107, 142, 35), "pole": (153, 153, 153), "car": (0, 0, 142), "person": (220, 20, 60),
}  # fmt: skip
"""Names with display colours; the ids are the positions."""
