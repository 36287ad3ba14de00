"""Write Label Studio's tasks for *Import*: tasks.json with a brush stroke for each class, as predictions to correct.

label_config.xml is the labeling interface that they need (*Settings, Labeling Interface, Code*). A task names its image
as a file: put the URL or the path of your storage before the names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from ifrkit.core.records import Label, LabelSpace
from ifrkit.labels._rle import encode_mask
from ifrkit.labels._writing import JsonList, LabelWriter, Part, names_to_draw, parts
from ifrkit.media.palette import distinct_colors

_MODEL = "ifrkit"


class Writer(LabelWriter):
    """One task a label."""

    def __init__(self, directory: Path, labels: LabelSpace) -> None:
        super().__init__(directory, labels)
        (directory / "label_config.xml").write_text(_config(labels), "utf-8")
        self._tasks = JsonList(directory / "tasks.json", "[", "]\n")

    def write(self, image: str, ids_hw: Label) -> None:
        """See LabelWriter."""
        drawn = [_stroke(part) for part in parts(ids_hw, self.labels)]
        self._tasks.add({"data": {"image": image}, "predictions": [{"model_version": _MODEL, "result": drawn}]})

    def close(self) -> None:
        """See LabelWriter."""
        self._tasks.close()


def _stroke(part: Part) -> dict[str, Any]:
    value = {"format": "rle", "rle": list(encode_mask(part.mask_hw)), "brushlabels": [part.name]}
    height, width = part.mask_hw.shape
    size = {"original_height": height, "original_width": width, "image_rotation": 0}
    names = {"id": f"class-{part.id}", "from_name": "label", "to_name": "image", "type": "brushlabels"}
    return {**names, **size, "value": value}


def _config(labels: LabelSpace) -> str:
    names = names_to_draw(labels)
    colors = [*labels.colors, *distinct_colors(1)]
    rows = [
        f'    <Label value={quoteattr(name)} background="#{red:02x}{green:02x}{blue:02x}"/>\n'
        for name, (red, green, blue) in zip(names, colors, strict=False)
    ]
    image = '  <Image name="image" value="$image" zoom="true"/>\n'
    brush = f'  <BrushLabels name="label" toName="image">\n{"".join(rows)}  </BrushLabels>\n'
    return f"<View>\n{image}{brush}</View>\n"
