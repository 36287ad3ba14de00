"""CVAT's export "Segmentation mask 1.1", as zip or unpacked.

    labelmap.txt                        label:color_rgb:parts:actions, one a line: "road:128,64,128::"
    SegmentationClass/street_000031.png    one colour a label; SegmentationObject/ (instances) is not read

CVAT chooses the colours, so what counts are the names. Its label `background` is what nobody labeled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ifrkit.core.errors import DatasetError
from ifrkit.core.records import Label
from ifrkit.labels._to_cvat import Writer
from ifrkit.labels.base import Entry, LabelFiles, LabelReader, well_formed
from ifrkit.media.classes import BACKGROUND, ClassTable, ids_of_ids, named_table
from ifrkit.media.images import read_raw_label
from ifrkit.media.palette import RGB, ids_of_colors

_MAP = "labelmap.txt"
_MASKS = "SegmentationClass/"


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
        colors = {name: color for labels in self._maps.values() for color, name in labels.items() if name != BACKGROUND}
        return named_table(self.files.where(_MAP), list(colors), list(colors.values()))

    def read(self, key: str, size: tuple[int, int], table: ClassTable) -> Label:
        where = self.files.where(key)
        labels = self._map_of(key)
        raw = read_raw_label(where, self.files.read(key), size, palette=True)
        ids = {name: table.unlabeled if name == BACKGROUND else table.by_name.get(name) for name in labels.values()}
        if raw.ndim == 2:  # grey: places in the label map
            known = {place: ids[name] for place, name in enumerate(labels.values())}
            return ids_of_ids(raw, {place: i for place, i in known.items() if i is not None}, where)
        label, unknown = ids_of_colors(
            raw, {color: i for color, name in labels.items() if (i := ids[name]) is not None}
        )
        if unknown.any():
            colors, counts = np.unique(raw[unknown], axis=0, return_counts=True)
            worst: RGB = tuple(colors[counts.argmax()].tolist())
            if worst in labels:
                raise table.lacks(f"{where}: {counts.max()} pixels of label {labels[worst]!r}", labels[worst])
            fault = (
                f"{where}: {int(unknown.sum())} pixels of colours that {_MAP} does not have, most of them {list(worst)}"
            )
            raise DatasetError(fault, "export again as Segmentation mask 1.1, and keep the files together")
        return label

    def _map_of(self, key: str) -> dict[RGB, str]:
        top = _top(key) or ""
        if top not in self._maps:
            raise DatasetError(f"{self.files.where(top + _MAP)}: missing beside the masks", "export or unpack it again")
        return self._maps[top]

    @cached_property
    def _maps(self) -> dict[str, dict[RGB, str]]:
        """Directory of each labelmap.txt -> its colours and their labels, in order."""
        found = [name for name in self.files.names if name.rpartition("/")[2] == _MAP]
        return {name[: -len(_MAP)]: self._parse(name) for name in found}

    def _parse(self, name: str) -> dict[RGB, str]:
        labels: dict[RGB, str] = {}
        with well_formed(self.files.where(name), "CVAT"):
            for number, line in enumerate(self.files.read(name).decode("utf-8-sig").splitlines(), start=1):
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                label, written, _, _ = line.rsplit(":", 3)
                red, green, blue = (int(part) for part in written.split(","))
                if (red, green, blue) in labels or not all(0 <= part <= 255 for part in (red, green, blue)):
                    raise ValueError(f"line {number}: colour {written} is given twice or is none")
                labels[red, green, blue] = label.strip()
        return labels


def _top(name: str) -> str | None:
    """The part of a mask's name before SegmentationClass/, None for other files."""
    parts = f"/{name}".partition(f"/{_MASKS}")
    return f"{parts[0]}/"[1:] if parts[1] else None
