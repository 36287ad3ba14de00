"""Reading image files safely: the header first, then the pixels; every failure names the file."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import np
from ifrkit.core.limits import limit, raised
from ifrkit.core.records import Frame
from ifrkit.media.depth import eight_bits, is_deep
from ifrkit.media.litter import is_litter
from ifrkit.media.names import IMAGES
from ifrkit.media.orientation import orientation, turn, turned_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow raises for files that are truncated or no images."""


@contextmanager
def opened(path: Path | str, data: bytes | None = None) -> Iterator[Image.Image]:
    """The image in a file; data: its bytes, where they come from elsewhere and `path` is only their name.

    What is wrong with it, then or while it is used, becomes a DatasetError that names it.
    """
    try:
        # Not by its name: Pillow would map the file into memory, and a TIFF that lies sideways would be scrambled.
        with open(path, "rb") if data is None else io.BytesIO(data) as file, _header(file) as image:
            if image.width * image.height > limit("MEGAPIXELS") * 10**6:
                raise too_large(path)
            if _several(image):
                fault = f"{path}: holds several images (an animation, or pages)"
                raise DatasetError(fault, "convert it to a video (mp4), or to one file for each image")
            yield image
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file", "restore it, or remove what refers to it") from error
    except _BROKEN as error:
        reason = str(error).replace("\n", " ").replace(str(path), "it") or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # its text holds the address of an object
            reason = "it is empty" if _is_empty(path, data) else "its content is not an image of a known kind"
        raise DatasetError(f"{path}: cannot be read as an image ({reason})", "copy or download it again") from error


def _header(file: IO[bytes]) -> Image.Image:
    """The image in a file, its pixels not decoded yet."""
    with warnings.catch_warnings():
        # What is wrong is said in one line, by us; of many pixels Pillow would warn at 89 megapixels.
        warnings.simplefilter("ignore")
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limit("MEGAPIXELS") * 10**6
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = usual


def _is_empty(path: Path | str, data: bytes | None) -> bool:
    return not (os.path.getsize(path) if data is None else len(data))


def _several(image: Image.Image) -> bool:
    """Whether a file holds more pictures of its size. What cameras add for themselves (previews) does not count."""
    if image.format != "TIFF":
        return image.format in ("PNG", "WEBP", "GIF") and getattr(image, "n_frames", 1) > 1
    size, page = image.size, 0
    try:
        while True:
            page += 1
            image.seek(page)
            if image.size == size:
                return True
    except EOFError:
        return False
    finally:
        image.seek(0)


def too_large(path: Path | str) -> DatasetError:
    """The error for an image, or a video's frames, of too many pixels: a few kB on disk can claim gigabytes."""
    fault = f"{path}: more than {limit('MEGAPIXELS')} megapixels"
    return DatasetError(fault, f"check the file, make it smaller, or {raised('MEGAPIXELS')}")


def image_size(path: Path | str, data: bytes | None = None) -> tuple[int, int]:
    """(height, width) as viewers show it, from the header alone. data: its bytes, `path` being only their name."""
    with opened(path, data) as image:
        return turned_size(image)


def read_rgb(path: Path) -> Frame:
    """An image as (h, w, 3) uint8 RGB, the right way up; grey, indexed and 16-bit images are converted.

    Raises DatasetError for one that cannot be read, and where more than 8 bits have no known range.
    """
    with opened(path) as image:
        deep, how = is_deep(image), orientation(image)
        if not deep:
            image.load()
            image.info.pop("transparency", None)  # Pillow would warn of it; frames have no alpha
            return turn(np.asarray(image.convert("RGB"), dtype=np.uint8), how)
        pixels = turn(eight_bits(image, path, path.read_bytes()), how)
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2)


def read_raw_label(
    path: Path | str, data: bytes | None = None, size: tuple[int, int] | None = None, palette: bool = False
) -> NDArray[np.int64]:
    """A label image as it is stored: (h, w) ids (grey or indexed) or (h, w, 3) colours, int64. Alpha is dropped.

    data: its bytes, `path` being only their name. size: (height, width) of its frame; another one is refused before
    anything is decoded. palette: an indexed image gives the colours of its palette. Lossy images are refused.
    """
    with opened(path, data) as image:
        require_exact(image, path, data)
        if size is not None:
            check_size(path, turned_size(image), size)
        how = orientation(image)
        if image.mode in ("RGBA", "RGBX", "CMYK", "YCbCr") or (palette and image.mode in ("P", "PA")):
            image = image.convert("RGB")
        elif image.mode in ("LA", "PA"):
            image = image.getchannel(0)
        elif image.mode == "P" and is_grey(image):
            image = image.convert("L")  # a grey image that was packed into a palette
        image.load()  # a TIFF has its own way up only after this
        # Indexed images ("P") hold the ids themselves; their palette is for the eye.
        return turn(np.asarray(image).astype(np.int64), how)


def require_exact(image: Image.Image, where: Path | str, data: bytes | None) -> None:
    """Raise DatasetError for a label whose ids and colours are changed by the way it is stored, whatever its name."""
    kind = image.format
    if kind == "WEBP" and b"VP8 " in (Path(where).read_bytes() if data is None else data)[:256]:
        kind = "lossy WebP"
    if kind in ("JPEG", "MPO", "lossy WebP"):
        fault = f"{where}: is a {kind.replace('MPO', 'JPEG')} by its content, which changes ids and colours"
        raise DatasetError(fault, "export or save the labels as PNG; to rename a file changes nothing")


def is_grey(image: Image.Image) -> bool:
    """Whether all colours of an indexed image are grey."""
    palette = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG file of an image, (h, w) grey or (h, w, 3) RGB."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "png")
    return data.getvalue()


def save_label(path: Path, ids_hw: NDArray[np.uint8], colors_n3: NDArray[np.uint8]) -> None:
    """An indexed PNG: its pixels are the class ids, its palette their colours (256, 3)."""
    image = Image.fromarray(ids_hw)
    image.putpalette(colors_n3.tobytes())
    data = io.BytesIO()
    image.save(data, "png", compress_level=1)
    write_atomic(path, data.getvalue(), durable=False)  # the commit makes all of them durable


def save_colors(path: Path, colors_hw3: NDArray[np.uint8]) -> None:
    """An RGB PNG, written fast."""
    Image.fromarray(colors_hw3).save(path, compress_level=1)


def check_size(where: Path | str, label: tuple[int, int], frame: tuple[int, int], name: str = "") -> None:
    """Raises DatasetError where a label and its frame (called `name`) differ in (height, width)."""
    if label != frame:
        its = f"its frame {name}".rstrip()
        fault = f"{where}: label is {label[1]}x{label[0]}, {its} is {frame[1]}x{frame[0]}"
        raise DatasetError(fault, "make both the same size")


def list_images(directory: Path) -> list[Path]:
    """Image files directly inside a directory, sorted by name; what systems leave is passed over."""
    found = (p for p in directory.iterdir() if p.suffix.lower() in IMAGES and not is_litter(p.name))
    return sorted(p for p in found if p.is_file())
