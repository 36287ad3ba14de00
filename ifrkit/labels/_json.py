"""What tools that write JSON have in common: documents by what stands in their beginning, and COCO's masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ifrkit.labels._coco_mask import counts_of_text, mask_of, polygon_mask
from ifrkit.labels._files import LabelFiles
from ifrkit.labels._shapes import Part, polygon
from ifrkit.media.images import check_size


def documents(files: LabelFiles, *keys: bytes) -> list[str]:
    """JSON objects in whose beginning one of these keys stands."""
    found = []
    for name in files.ending(".json"):
        head = files.head(name).lstrip()
        if head[:1] == b"{" and any(b'"' + key + b'"' in head for key in keys):
            found.append(name)
    return found


def run_lengths(where: str, tree: dict[str, Any], size: tuple[int, int]) -> Part:
    """{"size": [h, w], "counts": a list or COCO's text} as a mask. Raises ValueError, or DatasetError for a size."""
    check_size(where, (int(tree["size"][0]), int(tree["size"][1])), size)
    counts = tree["counts"]
    if isinstance(counts, str):
        return mask_of(counts_of_text(counts), size)
    return mask_of(np.array(counts, np.int64), size)


def flat_polygon(points: Any, size: tuple[int, int]) -> Part:
    """[x, y, x, y, ...] as a mask, as COCO paints it."""
    if not isinstance(points, list) or len(points) % 2:
        raise ValueError("a polygon that is not a list of x, y, x, y, ...")
    return polygon_mask(polygon(np.reshape(points, (-1, 2))), size)
