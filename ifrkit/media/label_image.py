"""A label image as it is stored, before anything says what its numbers and colours mean (that is in `meaning.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ifrkit.core.errors import DatasetError
from ifrkit.media.depth import deep_values, is_deep
from ifrkit.media.images import check_size, opened, require_exact
from ifrkit.media.orientation import orientation, turn, turned_size
from ifrkit.media.palette import RGB, codes_of

Storage = Literal["grey", "bits", "palette", "colors"]
"""bits: grey of 1, 2 or 4 bits, where 1 may mean 1 or white."""
ERASED = -1
"""The code of a pixel that is fully transparent: whatever its hidden colour is, nobody sees it as labeled."""
_SMALL = {"1": 1, "L;2": 2, "L;4": 4}


class Symbol(NamedTuple):
    """What a pixel may hold. number: as it is stored, -1 for colours. color: as it is shown, None above 8 bits."""

    number: int
    color: RGB | None


class LabelImage(NamedTuple):
    """codes_hw: int32, grey value, place in the palette, or colour as 24 bits; ERASED for what is transparent.

    bits: of a grey pixel. palette: the colours of an indexed image.
    """

    storage: Storage
    codes_hw: NDArray[np.int32]
    bits: int = 8
    palette: tuple[RGB, ...] = ()

    def symbol(self, code: int) -> Symbol:
        """What this code stands for."""
        if self.storage == "colors":
            return Symbol(-1, (code >> 16, code >> 8 & 255, code & 255))
        if self.storage == "palette":
            return Symbol(code, self.palette[code] if code < len(self.palette) else None)
        shown = code * 255 // ((1 << self.bits) - 1) if self.storage == "bits" else code
        return Symbol(code, (shown, shown, shown) if shown < 256 else None)

    def used(self) -> NDArray[np.int64]:
        """The codes that occur, ascending, without ERASED."""
        flat = self.codes_hw.ravel()
        # Counting is far cheaper than sorting, as long as there are not 2 ** 24 kinds.
        found = np.unique(flat) if self.storage == "colors" else np.flatnonzero(np.bincount(flat + 1)) - 1
        used: NDArray[np.int64] = found[found != ERASED].astype(np.int64)
        return used


def read_label_image(path: Path | str, data: bytes | None = None, size: tuple[int, int] | None = None) -> LabelImage:
    """The label image in a file, the right way up. data: its bytes, `path` being only their name.

    size: (height, width) of its frame; another one is refused before anything is decoded. Raises DatasetError, also
    for lossy images.
    """
    with opened(path, data) as image:
        require_exact(image, path, data)
        if size is not None:
            check_size(path, turned_size(image), size)
        bits, deep = _bits(image), is_deep(image)
        how = orientation(image)
        image.load()
        erased = _erased(image, bits, path)
        if deep and image.mode.startswith("RGB"):
            whole = deep_values(image, path, Path(path).read_bytes() if data is None else data)
            found = LabelImage("colors", codes_of(_upper_half(whole, path)))
        else:
            found = _stored(image, bits, path)
        codes = found.codes_hw if erased is None else np.where(erased, np.int32(ERASED), found.codes_hw)
        return found._replace(codes_hw=turn(codes, how))


def _stored(image: Image.Image, bits: int, where: Path | str) -> LabelImage:
    mode = image.mode
    if mode in ("P", "PA"):
        flat = image.getpalette() or []
        palette = tuple((flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3))
        return LabelImage("palette", np.asarray(image.getchannel(0)).astype(np.int32), palette=palette)
    if mode == "1" or bits < 8:
        values = np.asarray(image.convert("L")).astype(np.int32)
        return LabelImage("bits", values * ((1 << bits) - 1) // 255, bits)
    if mode in ("L", "LA") or mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        values = np.asarray(image.getchannel(0) if mode == "LA" else image).astype(np.int32)
        return LabelImage("grey", values)
    if mode in ("F", "I"):
        raise DatasetError(f"{where}: pixels are floats or have 32 bits, not ids", "save it as a PNG of ids or colours")
    return LabelImage("colors", codes_of(np.asarray(image.convert("RGB"))))


def _bits(image: Image.Image) -> int:
    """Of a grey pixel, 1, 2, 4 or 8 (also for more)."""
    tile = getattr(image, "tile", None)
    return _SMALL.get(str(tile[0][3]), 8) if image.format == "PNG" and tile else 1 if image.mode == "1" else 8


def _upper_half(colors_hw3: NDArray[np.generic], where: Path | str) -> NDArray[np.uint8]:
    """Colours of 16 bits as 8, which they are in truth: each byte stands twice."""
    values = colors_hw3.astype(np.uint16)
    if (values % 257).any():
        fault = f"{where}: colours of 16 bits a channel that 8 bits cannot hold"
        raise DatasetError(fault, "save it with 8 bits a channel")
    values = values if values.ndim == 3 else np.repeat(values[..., None], 3, 2)
    return (values // 257).astype(np.uint8)


def _erased(image: Image.Image, bits: int, where: Path | str) -> NDArray[np.bool_] | None:
    """Where it is fully transparent; None where it is so nowhere."""
    alpha = _alpha(image, bits)
    if alpha is None:
        return None
    seen = np.flatnonzero(np.bincount(alpha.ravel(), minlength=256)[1:]) + 1
    if len(seen) > 1:
        soft = int(((alpha > 0) & (alpha < 255)).sum())
        fault = f"{where}: {soft} pixels are half transparent, as a soft brush leaves them"
        raise DatasetError(fault, "label with a hard brush, or save it without transparency")
    return alpha == 0 if (alpha == 0).any() else None


def _alpha(image: Image.Image, bits: int) -> NDArray[np.uint8] | None:
    if image.mode in ("RGBA", "LA", "PA"):
        return np.asarray(image.getchannel(image.mode[-1]))
    key = image.info.get("transparency")
    if key is None:
        return None
    if image.mode == "P":
        table = np.full(256, 255, np.uint8)
        if isinstance(key, bytes):
            table[: len(key)] = np.frombuffer(key[:256], np.uint8)
        else:
            table[key] = 0
        alpha: NDArray[np.uint8] = table[np.asarray(image)]
        return alpha
    # One grey value or one colour is transparent; of few bits, Pillow scales the pixels and not that one.
    if image.mode == "L":
        key = key * 255 // ((1 << bits) - 1)
    same = np.asarray(image) == np.asarray(key)
    return np.where(same.all(2) if same.ndim == 3 else same, 0, 255).astype(np.uint8)
