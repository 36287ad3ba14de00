"""Write plain label images: NAME.png, indexed, the class ids as pixels and the classes' colours as palette."""

from __future__ import annotations

from pathlib import PurePosixPath

from ifrkit.core.records import Label
from ifrkit.labels._writing import LabelWriter
from ifrkit.media.images import save_label
from ifrkit.media.palette import id_colors


class Writer(LabelWriter):
    """One file a label; 255 stays 255."""

    def write(self, image: str, ids_hw: Label) -> None:
        """See LabelWriter."""
        name = PurePosixPath(image).with_suffix(".png").name
        save_label(self.directory / name, ids_hw, id_colors(self.labels))
