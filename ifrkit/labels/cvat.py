"""CVAT's export "Segmentation mask 1.1", as zip or unpacked.

    labelmap.txt                        label:color_rgb:parts:actions, one a line: "road:128,64,128::"
    SegmentationClass/street_000031.png    one colour a label; SegmentationObject/ (instances) is not read

CVAT chooses the colours, so what counts are the names. Its label `background` is what nobody labeled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from ifrkit.core.encoding import lines
from ifrkit.core.errors import DatasetError
from ifrkit.core.records import Label
from ifrkit.labels._to_cvat import Writer
from ifrkit.labels.base import Entry, LabelFiles, LabelReader, well_formed
from ifrkit.media.classes import BACKGROUND, ClassTable, named_table
from ifrkit.media.label_image import read_label_image
from ifrkit.media.meaning import OutsideTable, ids_of_names
from ifrkit.media.palette import RGB

_MAP = "labelmap.txt"
_MASKS = "SegmentationClass/"
LabelMap = list[tuple[str, RGB | None]]
"""Labels in their order, with their colours; older exports have none."""


class Labels(LabelReader):
    """One export, or a directory of several."""

    writer = Writer

    @classmethod
    def claims(cls, files: LabelFiles) -> bool:
        return any(_top(name) is not None for name in files.ending(".png")) and bool(files.ending(_MAP))

    def entries(self) -> list[Entry]:
        found = ((name, _top(name)) for name in self.files.ending(".png"))
        return [Entry(name, (name[len(top + _MASKS) : -4],)) for name, top in found if top is not None]

    def table(self, keys: Sequence[str]) -> ClassTable:
        """The labels of labelmap.txt in its order, without `background`."""
        found = {name: color for labels in self._maps.values() for name, color in labels if name != BACKGROUND}
        colors = [color for color in found.values() if color]
        return named_table(self.files.where(_MAP), list(found), colors if len(colors) == len(found) else ())

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self.files.where(key)
        labels = self._map_of(key)
        image = read_label_image(where, self.files.read(key), size)
        names = {place: None if name == BACKGROUND else name for place, (name, _) in enumerate(labels)}
        colors = {color: names[place] for place, (_, color) in enumerate(labels) if color}
        try:
            return ids_of_names(image, names, colors, table, where)
        except OutsideTable as error:
            remedy = "export again as Segmentation mask 1.1, and keep the files together"
            if not colors:
                remedy = f"{_MAP} has no colours: write them into it, as in road:128,64,128::"
            fault = error.message.replace("outside the class table", f"that {_MAP} does not have")
            raise DatasetError(fault, remedy) from error

    def _map_of(self, key: str) -> LabelMap:
        top = _top(key) or ""
        if top not in self._maps:
            raise DatasetError(f"{self.files.where(top + _MAP)}: missing beside the masks", "export or unpack it again")
        return self._maps[top]

    @cached_property
    def _maps(self) -> dict[str, LabelMap]:
        """Directory of each labelmap.txt -> its labels and their colours, in order."""
        found = [name for name in self.files.names if name.rpartition("/")[2] == _MAP]
        return {name[: -len(_MAP)]: self._parse(name) for name in found}

    def _parse(self, name: str) -> LabelMap:
        labels: LabelMap = []
        with well_formed(self.files.where(name), "CVAT"):
            for number, line in enumerate(lines(self.files.text(name)), start=1):
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                label, written = line.rsplit(":", 3)[:2] if line.count(":") >= 3 else (line.rstrip(": "), "")
                if not written.strip():
                    labels.append((label.strip(), None))
                    continue
                red, green, blue = (int(part) for part in written.split(","))
                color = red, green, blue
                if color in [known for _, known in labels] or not all(0 <= part <= 255 for part in color):
                    raise ValueError(f"line {number}: colour {written} is given twice or is none")
                labels.append((label.strip(), color))
        return labels


def _top(name: str) -> str | None:
    """The part of a mask's name before SegmentationClass/, None for other files."""
    parts = f"/{name}".partition(f"/{_MASKS}")
    return f"{parts[0]}/"[1:] if parts[1] else None
