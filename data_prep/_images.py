"""Reading image files safely: the header first, then the pixels; every failure names the file."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_prep.base import Frame
from ifrkit.errors import DatasetError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp"})
"""What counts as a frame's image file (lower case)."""
MAX_PIXELS = 200_000_000
"""Larger images are refused from their header alone: a few kB on disk can claim gigabytes of pixels."""
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow raises for files that are truncated or no images."""


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Our own limit below speaks in one line; Pillow's warning would start at 89 megapixels.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
            try:
                image = Image.open(path)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path)
            yield image
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file", "restore it, or remove what refers to it") from error
    except _BROKEN as error:
        reason = str(error).replace("\n", " ").replace(str(path), "it") or type(error).__name__
        raise DatasetError(f"{path}: cannot be read as an image ({reason})", "copy or download it again") from error


def _too_large(path: Path) -> DatasetError:
    return DatasetError(f"{path}: more than {MAX_PIXELS // 10**6} megapixels", "check the file, or make it smaller")


def image_size(path: Path) -> tuple[int, int]:
    """(height, width), from the header alone."""
    with _opened(path) as image:
        return image.height, image.width


def read_rgb(path: Path) -> Frame:
    """An image as (h, w, 3) uint8 RGB; grey and indexed images are converted."""
    with _opened(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def read_raw_label(path: Path) -> NDArray[np.int64]:
    """A label image as it is stored: (h, w) ids (grey or indexed) or (h, w, 3) colours, int64. Alpha is dropped."""
    with _opened(path) as image:
        if image.mode in ("RGBA", "RGBX", "CMYK", "YCbCr"):
            image = image.convert("RGB")
        elif image.mode in ("LA", "PA"):
            image = image.getchannel(0)
        # Indexed images ("P") hold the ids themselves; their palette is for the eye.
        return np.asarray(image).astype(np.int64)


def list_images(directory: Path) -> list[Path]:
    """Image files directly inside a directory, sorted by name; hidden files are skipped."""
    found = (p for p in directory.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in found if p.is_file())
