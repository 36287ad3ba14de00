"""Which way up an image is: EXIF and XMP say how it has to be turned, and every viewer and labeling tool does so."""

from __future__ import annotations

import struct
import warnings
from typing import TYPE_CHECKING, TypeVar

from PIL import Image
from PIL.ExifTags import Base

from ifrkit.core.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDEWAYS = (5, 6, 7, 8)
_SAYS = (b"eXIf", b"iTXt", b"zTXt", b"tEXt")
"""PNG chunks that may hold it."""
T = TypeVar("T", bound="np.generic")
_BROKEN = (ValueError, SyntaxError, KeyError, TypeError, struct.error, OSError, EOFError)


def orientation(image: Image.Image) -> int:
    """How the stored pixels have to be turned, 1 (not at all) to 8, by the numbers of EXIF. Damaged metadata say 1.

    Ask before the pixels are decoded. TIFF says 1: Pillow turns it by itself, and gives the size after that.
    """
    if image.format == "TIFF" and Base.Orientation in getattr(image, "tag_v2", {}):
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata
            if image.format == "PNG" and _said_after_pixels(image):
                image.load()
            # The method of PNG files would decode the pixels to look for metadata after them.
            found = Image.Image.getexif(image).get(Base.Orientation, 1)
    except _BROKEN:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turned_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) after turning."""
    sideways = orientation(image) in _SIDEWAYS
    return (image.width, image.height) if sideways else (image.height, image.width)


def turn(pixels: NDArray[T], how: int) -> NDArray[T]:
    """Pixels (h, w) or (h, w, c) the right way up. how: what `orientation` says."""
    if how in _SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if how in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if how in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _said_after_pixels(image: Image.Image) -> bool:
    """Whether a PNG goes on with metadata after its pixels. Only the heads of its chunks are read."""
    file = getattr(image, "fp", None)
    if file is None:
        return False
    place = file.tell()
    try:
        file.seek(8)
        pixels = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if pixels and kind in _SAYS:
                return True
            pixels = pixels or kind == b"IDAT"
            file.seek(length + 4, 1)
        return False
    finally:
        file.seek(place)
