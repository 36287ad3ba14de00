"""Which colour is which class, in a corner of the overlay."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ifrkit.core.records import LabelSpace
from ifrkit.metrics.base import Ids

SMALLEST = (120, 160)
"""(height, width) of the smallest picture that has room for names."""
_SHARE = 1 / 1000
"""Of the pixels: rarer classes are not named."""
_ROWS = 1 / 40
"""Height of a line of text, as a share of the picture's."""
_SHADE = 0.35
"""What is left of the picture below the text."""

_Drawn = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""Colours of the legend, BGR, and where they cover the picture."""


class Legend:
    """Names of the classes that occur in a picture, beside their colours, at the bottom on the left."""

    def __init__(self, labels: LabelSpace, size: tuple[int, int]) -> None:
        self._labels, self._size = labels, size
        self._height = max(11, round(size[0] * _ROWS))
        self._font = _font(self._height)
        self._drawn: dict[tuple[int, ...], _Drawn] = {}

    def draw(self, picture_bgr: NDArray[np.uint8], ids_hw: Ids) -> None:
        """Draw it into a picture of this size, in place; into a smaller one than SMALLEST nothing."""
        if self._size[0] < SMALLEST[0] or self._size[1] < SMALLEST[1]:
            return
        few = ids_hw[::4, ::4]
        counts = np.bincount(few.ravel(), minlength=self._labels.num_classes)[: self._labels.num_classes]
        room = (self._size[0] - 8) // (self._height + 4) - 1
        largest = np.argsort(-counts, kind="stable")[: max(0, room)]
        here = tuple(sorted(int(i) for i in largest if counts[i] > _SHARE * few.size))
        if not here:
            return
        if here not in self._drawn:
            if len(self._drawn) > 64:
                self._drawn.clear()
            self._drawn[here] = self._made(here)
        colors, mask = self._drawn[here]
        corner = picture_bgr[self._size[0] - len(colors) : self._size[0], : colors.shape[1]]
        shaded = (corner * _SHADE).astype(np.uint8)
        corner[...] = np.where(mask[..., None], colors, shaded)

    def _made(self, classes: tuple[int, ...]) -> _Drawn:
        step = self._height + 4
        names = [self._labels.names[i] for i in classes]
        widest = max(self._font.getlength(name) for name in names)
        width = min(self._size[1], int(widest) + 2 * step + 8)
        sheet = Image.new("RGB", (width, len(names) * step + 8))
        mask = Image.new("1", sheet.size)
        for image, colored in ((ImageDraw.Draw(sheet), True), (ImageDraw.Draw(mask), False)):
            for row, (index, name) in enumerate(zip(classes, names, strict=True)):
                top = 4 + row * step
                box = (4, top + 1, 4 + self._height, top + self._height)
                image.rectangle(box, fill=self._labels.colors[index] if colored else 1)
                image.text((8 + step, top), name, fill=(255, 255, 255) if colored else 1, font=self._font)
        return np.asarray(sheet)[:, :, ::-1].copy(), np.asarray(mask)


def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu, which comes with matplotlib, has letters of more languages than Pillow's own font."""
    spec = find_spec("matplotlib")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), height)
    return ImageFont.load_default(height)
