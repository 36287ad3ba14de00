"""Frames of more than 8 bits a channel: scaled to 8 by the range of their format, refused where none is known.

Known are 16 bits whose upper ones are used, 9 to 15 bits, and whatever the file's own tags for the smallest and largest
value say. Unknown are floats and 32 bits, and 16 bits that may hold 10, 12 or 14: a guess would make frames black or
white, each by another factor.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import cv2, np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDE = ("I", "F")
"""Modes of Pillow for more than 8 bits begin so: I;16, I;16B, I, F."""
_BITS, _PHOTOMETRIC = 258, 262
_LIMITS = ((280, 281), (340, 341))
"""TIFF tags for the smallest and the largest value."""
_DOUBT = 1 << 14
"""16-bit values that all stay below this may have 10, 12 or 14 bits."""
_REMEDY = "convert the frames to 8 bits a channel, all by one range"


def is_deep(image: Image.Image) -> bool:
    """Whether it has more than 8 bits a channel. Ask before the pixels are decoded."""
    return image.mode.startswith(_WIDE) or _colors_of_16(image)


def deep_values(image: Image.Image, where: Path | str, data: bytes) -> NDArray[np.generic]:
    """The numbers in an image that `is_deep`, as they are stored: (h, w), or (h, w, 3) of 16 bits. data: the file."""
    image.load()  # raises for a file that is cut off; and a TIFF has its own way up only after this
    if not image.mode.startswith("RGB"):
        return np.asarray(image)
    # Pillow keeps the upper 8 bits of colours, which are all zero where a file holds less than 16.
    found: NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16:
        raise DatasetError(f"{where}: its 16-bit colours cannot be decoded", _REMEDY)
    return found if found.ndim == 2 else found[..., 2::-1]


def eight_bits(image: Image.Image, where: Path | str, data: bytes) -> NDArray[np.uint8]:
    """Such a frame as uint8, (h, w) or (h, w, 3). Raises DatasetError where the range of its values is not known."""
    tags = getattr(image, "tag_v2", {})
    values = deep_values(image, where, data)
    low, high = _range(image, where, int(values.max()) if values.dtype.kind in "ui" else None)
    scaled = np.clip((values.astype(np.float32) - low) * (255 / (high - low)), 0, 255)
    if tags.get(_PHOTOMETRIC) == 0:
        scaled = 255 - scaled
    pixels: NDArray[np.uint8] = np.nan_to_num(scaled).round().astype(np.uint8)
    return pixels


def _colors_of_16(image: Image.Image) -> bool:
    """RGB or RGBA that Pillow would cut to 8 bits."""
    tile = getattr(image, "tile", None)
    if image.format == "PNG" and tile:
        return image.mode.startswith("RGB") and str(tile[0][3]).endswith(";16B")
    return image.mode.startswith("RGB") and max(getattr(image, "tag_v2", {}).get(_BITS, (8,))) > 8


def _range(image: Image.Image, where: Path | str, most: int | None) -> tuple[float, float]:
    """What is black and what is white. most: the largest value of an image of integers."""
    tags = getattr(image, "tag_v2", {})
    for low, high in _LIMITS:
        if high in tags:
            ends = [float(np.max(tags[key])) if key in tags else 0.0 for key in (low, high)]
            if ends[0] < ends[1]:
                return ends[0], ends[1]
    if image.mode == "F":
        raise DatasetError(f"{where}: pixels are floats, and the file does not say their range", _REMEDY)
    if image.format == "PPM":
        return 0, 65535  # Pillow has scaled it by the file's own largest value
    bits = max(tags.get(_BITS, (16,)))
    if image.format not in ("PNG", "TIFF") or bits > 16 or 2 in tags.get(339, ()):
        raise DatasetError(f"{where}: pixels are signed or have more than 16 bits: their range is not known", _REMEDY)
    if bits == 16 and most is not None and 0 < most < _DOUBT:
        fault = f"{where}: 16-bit pixels of {most} at most; they may hold 10, 12 or 14 bits, or be dark"
        raise DatasetError(fault, _REMEDY)
    return 0, (1 << bits) - 1
