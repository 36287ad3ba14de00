"""What labeling tools export that is not read: each is named, with what to export instead.

A format that gets a reader of its own leaves this table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ifrkit.labels._files import LabelFiles


class Unread(NamedTuple):
    """title: what it is. advice: what to export instead. fits: whether a file of the export looks like it."""

    title: str
    advice: str
    fits: Callable[[LabelFiles, str], bool]


def unread(files: LabelFiles) -> tuple[Unread, str] | None:
    """What these files are, if it is in the table, and the first of them."""
    for name in files.names:
        for entry in TABLE:
            if entry.fits(files, name):
                return entry, name
    return None


def _xml(*roots: bytes) -> Callable[[LabelFiles, str], bool]:
    def fits(files: LabelFiles, name: str) -> bool:
        return name.lower().endswith(".xml") and all(root in files.head(name) for root in roots)

    return fits


def _json(*keys: str) -> Callable[[LabelFiles, str], bool]:
    def fits(files: LabelFiles, name: str) -> bool:
        return name.lower().endswith((".json", ".ndjson")) and files.keys(name).issuperset(keys)

    return fits


_NUMBERS = re.compile(rb"\s*\d+((\s*[,;]\s*|\s+)-?[\d.]+([eE][-+]?\d+)?){4,}[\s,;]*")


def _commas(files: LabelFiles, name: str) -> bool:
    first = files.head(name).lstrip().partition(b"\n")[0]
    return name.endswith(".txt") and _NUMBERS.fullmatch(first) is not None


TABLE = (
    Unread("CVAT's XML (CVAT for images or video)", "export Segmentation mask 1.1", _xml(b"<annotations", b"<task")),
    Unread("CVAT's XML", "export Segmentation mask 1.1", _xml(b"<annotations", b"<image ")),
    Unread(
        "Pascal VOC's XML, which holds boxes",
        "export masks: CVAT's Segmentation mask 1.1, or one PNG for each frame",
        _xml(b"<annotation>", b"<object>"),
    ),
    Unread("Pascal VOC's XML", "export masks, one PNG for each frame", _xml(b"<annotation>", b"<size>")),
    Unread(
        "Mapillary's polygons",
        "name its directory of PNGs (labels/) instead, with the colours of its config in classes.yaml",
        _json("properties", "objects"),
    ),
    Unread(
        "Mapillary's polygons",
        "name its directory of PNGs (labels/) instead, with the colours of its config in classes.yaml",
        _json("width", "height", "objects"),
    ),
    Unread("YOLO's text with commas between the numbers (line 1)", "put blanks in their place", _commas),
    Unread("Supervisely's JSON", "export masks, or COCO", _json("size", "objects")),
    Unread("a project of the VGG Image Annotator", "export COCO", _json("_via_img_metadata")),
    Unread("Labelbox's JSON", "export masks, or COCO", _json("data_row")),
    Unread("Label Studio's JSON-MIN", "export JSON", _json("[]", "annotator")),
    Unread("Label Studio's CSV", "export JSON", lambda files, name: b"annotation_id" in files.head(name)[:4096]),
)
"""In the order in which they are tried."""
