"""Write COCO: annotations/instances_default.json, a run-length mask for each class of a label.

`iscrowd` is 0, since many programs drop crowds. Ids count from 1, as in COCO itself; categories are the classes in
order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.labels._coco_mask import Mask, counts_of, text_of
from ifrkit.labels._writing import JsonList, LabelWriter, bounds, names_to_draw, parts


class Writer(LabelWriter):
    """Annotations go to the file one by one; of a written image only its name and size are kept."""

    def __init__(self, directory: Path, labels: LabelSpace) -> None:
        super().__init__(directory, labels)
        (directory / "annotations").mkdir(exist_ok=True)
        names = names_to_draw(labels)
        categories = [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(names, start=1)]
        head = json.dumps({"info": {}, "licenses": [], "categories": categories}, ensure_ascii=False)
        path = directory / "annotations" / "instances_default.json"
        self._annotations = JsonList(path, f'{head[:-1]}, "annotations": [', "}\n")
        self._images: list[dict[str, Any]] = []
        self._count = 0

    def write(self, image: str, ids_hw: Label) -> None:
        """See LabelWriter."""
        height, width = ids_hw.shape
        number = len(self._images) + 1
        self._images.append({"id": number, "file_name": image, "height": height, "width": width})
        for part in parts(ids_hw, self.labels):
            self._count += 1
            category = 1 + (self.labels.num_classes if part.id == IGNORE else part.id)
            ids = {"id": self._count, "image_id": number, "category_id": category}
            self._annotations.add({**ids, **_drawn(part.mask_hw), "iscrowd": 0})

    def close(self) -> None:
        """See LabelWriter."""
        self._annotations.close(f'], "images": {json.dumps(self._images, ensure_ascii=False)}')


def _drawn(mask_hw: Mask) -> dict[str, Any]:
    """The mask, its bounding box and its number of pixels."""
    top, left, bottom, right = bounds(mask_hw)
    return {
        "segmentation": {"size": list(mask_hw.shape), "counts": text_of(counts_of(mask_hw))},
        "bbox": [left, top, right - left, bottom - top],
        "area": int(mask_hw.sum()),
    }
