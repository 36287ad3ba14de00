"""Write CVAT's "Segmentation mask 1.1": in CVAT *Upload annotations* of the task takes the directory, zipped.

CVAT finds a frame by the name of its mask, and reads pixels of `background` (black) as not labeled.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from ifrkit.core.errors import ConfigError
from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.labels._writing import LabelWriter, names_to_draw
from ifrkit.media.classes import BACKGROUND
from ifrkit.media.images import save_colors
from ifrkit.media.palette import RGB, distinct_colors

_BLACK: RGB = (0, 0, 0)


class Writer(LabelWriter):
    """labelmap.txt, the list of names, and a colour image a label."""

    def __init__(self, directory: Path, labels: LabelSpace) -> None:
        super().__init__(directory, labels)
        (directory / "SegmentationClass").mkdir(exist_ok=True)
        lists = directory / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        colors = _colors(labels)
        rows = [f"{name}:{red},{green},{blue}::\n" for name, (red, green, blue) in colors.items()]
        (directory / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{''.join(rows)}", "utf-8")
        self._table = np.zeros((256, 3), np.uint8)
        for index, name in [*enumerate(labels.names), (IGNORE, names_to_draw(labels)[-1])]:
            self._table[index] = colors[name]
        if BACKGROUND not in labels.names:
            self._table[IGNORE] = _BLACK
        self._list = (lists / "default.txt").open("w", encoding="utf-8")

    def write(self, image: str, ids_hw: Label) -> None:
        """See LabelWriter."""
        name = PurePosixPath(image).stem
        save_colors(self.directory / "SegmentationClass" / f"{name}.png", self._table[ids_hw])
        self._list.write(f"{name}\n")

    def close(self) -> None:
        """See LabelWriter."""
        self._list.close()


def _colors(labels: LabelSpace) -> dict[str, RGB]:
    """A colour for every label, all different: those of the classes, or others where two are alike or one is black."""
    names = [name for name in names_to_draw(labels) if name != BACKGROUND]
    bad = next((name for name in names if name.startswith("#") or name != name.strip() or "\n" in name), None)
    if bad is not None:
        raise ConfigError(f"class {bad!r}: labelmap.txt of CVAT cannot hold this name", "rename it in classes.yaml")
    own = dict(zip(labels.names, labels.colors, strict=True))
    chosen = [own[name] for name in names if name in own]
    spread = distinct_colors(IGNORE)
    if len({*chosen, _BLACK}) <= len(chosen):
        chosen = list(spread[: len(chosen)])
    chosen += [color for color in spread if color not in chosen][: len(names) - len(chosen)]
    return {BACKGROUND: _BLACK, **dict(zip(names, chosen, strict=True))}
