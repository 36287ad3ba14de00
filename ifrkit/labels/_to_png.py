"""Write plain label images: NAME.png, indexed, the class ids as pixels and the classes' colours as palette.

255 has a colour of its own, so that the image means the same whether ids or colours are read.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.labels._writing import LabelWriter
from ifrkit.media.images import save_label
from ifrkit.media.palette import distinct_colors, id_colors

_VOID = (224, 224, 192)
"""Of pixels without a class, as in Pascal VOC."""


class Writer(LabelWriter):
    """One file a label; 255 stays 255."""

    def __init__(self, directory: Path, labels: LabelSpace) -> None:
        super().__init__(directory, labels)
        self._colors = id_colors(labels)
        free = (color for color in (_VOID, *distinct_colors(IGNORE)) if color not in labels.colors)
        self._colors[IGNORE] = next(free)

    def write(self, image: str, ids_hw: Label) -> None:
        """See LabelWriter."""
        name = PurePosixPath(image).with_suffix(".png").name
        save_label(self.directory / name, ids_hw, self._colors)
