"""Write LabelMe's files: NAME.json beside the image, a mask for each connected part of a class.

Every part is a shape of its own, so that a wrong one can be deleted without the others.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ifrkit.core.records import Label
from ifrkit.labels._writing import Box, LabelWriter, Part, bounds, parts
from ifrkit.media.classes import BACKGROUND
from ifrkit.media.images import png_bytes

_MOST = 32
"""Shapes of one class: with more parts than this all of them are one shape, or nobody could work with the list."""


class Writer(LabelWriter):
    """One JSON a label."""

    def write(self, image: str, ids_hw: Label) -> None:
        """See LabelWriter."""
        shapes = [shape for part in parts(ids_hw, self.labels) for shape in _shapes(part)]
        size = {"imageHeight": ids_hw.shape[0], "imageWidth": ids_hw.shape[1]}
        tree = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None, **size}
        path = self.directory / PurePosixPath(image).with_suffix(".json").name
        path.write_text(json.dumps(tree, ensure_ascii=False), "utf-8")


def _shapes(part: Part) -> Iterator[dict[str, Any]]:
    name = "_background_" if part.name == BACKGROUND else part.name
    count, ids_hw, boxes, _ = cv2.connectedComponentsWithStats(part.mask_hw.view(np.uint8), connectivity=8)
    if count - 1 > _MOST:
        yield _shape(name, part.mask_hw, bounds(part.mask_hw))
        return
    for index, (left, top, width, height, _) in enumerate(boxes.tolist()[1:], start=1):
        yield _shape(name, ids_hw == index, Box(top, left, top + height, left + width))


def _shape(name: str, mask_hw: NDArray[np.bool_], box: Box) -> dict[str, Any]:
    """A mask in its box; LabelMe's points have both ends inside."""
    inside = np.ascontiguousarray(mask_hw[box.top : box.bottom, box.left : box.right])
    corners = [[float(box.left), float(box.top)], [float(box.right - 1), float(box.bottom - 1)]]
    mask = base64.b64encode(png_bytes(inside.view(np.uint8) * np.uint8(255))).decode()
    more: dict[str, Any] = {"group_id": None, "description": "", "flags": {}, "mask": mask}
    return {"label": name, "points": corners, "shape_type": "mask", **more}
