"""Pictures of a report: frame, label, prediction and errors side by side; the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ifrkit.core.lazy import lazy
from ifrkit.core.records import IGNORE, Label, LabelSpace
from ifrkit.core.text import safe
from ifrkit.media.resize import resize_frame

if TYPE_CHECKING:
    from ifrkit.media import figures
else:
    figures = lazy("ifrkit.media.figures")

WRONG = (235, 40, 40)
PANEL = (320, 800)
"""A panel is enlarged (by a whole factor) or shrunk to a width between these."""
TEXT, GAP = 14, 4
LOOP_FRAMES, LOOP_WIDTH, LOOP_MS = 16, 640, 200
"""Of the animation: at most so many frames, pixels for both panels, milliseconds a frame."""

Rgb = NDArray[np.uint8]
"""(h, w, 3)."""


def colored(ids_hw: Label, labels: LabelSpace) -> Rgb:
    """Class ids as their colours; ignored pixels black."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: labels.num_classes] = labels.colors
    return palette[ids_hw]


def errors(frame_hw3: Rgb, label_hw: Label, ids_hw: Label) -> Rgb:
    """The frame in dim gray, what is wrong in red, what is ignored black."""
    picture: Rgb = np.repeat(frame_hw3.mean(2, keepdims=True) * 0.5, 3, 2).astype(np.uint8)
    picture[ids_hw != label_hw] = WRONG
    picture[label_hw == IGNORE] = 0
    return picture


def strip(frame_hw3: Rgb, label_hw: Label, ids_hw: Label, labels: LabelSpace, system: str) -> Image.Image:
    """Frame, label, prediction, errors; below, the colours of the classes that occur."""
    height, width = label_hw.shape
    frame_hw3 = resize_frame(frame_hw3, (height, width))
    panels = {
        "frame": frame_hw3,
        "label": colored(label_hw, labels),
        system: colored(ids_hw, labels),
        "errors": errors(frame_hw3, label_hw, ids_hw),
    }
    if width < PANEL[0]:
        factor = -(-PANEL[0] // width)
        size, resample = (factor * width, factor * height), Image.Resampling.NEAREST
    else:
        size = (min(width, PANEL[1]), round(height * min(width, PANEL[1]) / width))
        resample = Image.Resampling.BOX
    font = ImageFont.load_default(TEXT)
    step, line = size[0] + GAP, TEXT + 8
    here = np.union1d(label_hw, ids_hw)
    shown = [i for i in range(labels.num_classes) if i in here]
    sheet = Image.new("RGB", (len(panels) * step - GAP, size[1] + 2 * line), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (title, panel) in enumerate(panels.items()):
        draw.text((column * step + GAP, 3), safe(title), "black", font)
        sheet.paste(Image.fromarray(panel).resize(size, resample), (column * step, line))
    x = float(GAP)
    for i in shown:
        top, name = line + size[1] + 5, safe(labels.names[i])
        draw.rectangle((x, top, x + TEXT - 2, top + TEXT - 2), labels.colors[i])
        draw.text((x + TEXT + 2, top - 3), name, "black", font)
        x += TEXT + 2 + draw.textlength(name, font) + 3 * GAP
    return sheet


def save_loop(frames: Sequence[Rgb], stream: Iterable[Label], labels: LabelSpace, path: Path) -> None:
    """The first frames of a clip beside their predictions, as a small endless animation (WebP).

    stream: the predictions, at the size of the frames, in order.
    """
    sheets = []
    for frame_hw3, ids_hw in zip(frames[:LOOP_FRAMES], stream, strict=False):
        sheet = Image.fromarray(np.concatenate([frame_hw3, colored(ids_hw, labels)], 1))
        scale = min(1.0, LOOP_WIDTH / sheet.width)
        size = (round(sheet.width * scale), round(sheet.height * scale))
        sheets.append(sheet.resize(size, Image.Resampling.BOX))
    sheets[0].save(path, save_all=True, append_images=sheets[1:], duration=LOOP_MS, loop=0, quality=70)


def save_confusion(matrix_kk: NDArray[np.int64], labels: LabelSpace, title: str, path: Path) -> None:
    """Rows are the truth: each cell is the share of its pixels that were called the class of the column."""
    share = matrix_kk / np.maximum(matrix_kk.sum(1, keepdims=True), 1)
    side = 2.5 + 0.42 * labels.num_classes
    figure = figures.new_figure(side, side)
    axes = figure.add_subplot(title=figures.drawn(title), xlabel="predicted", ylabel="truth")
    names = [figures.drawn(name) for name in labels.names]
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(labels.num_classes), names, rotation=90)
    axes.set_yticks(range(labels.num_classes), names)
    for (row, column), value in np.ndenumerate(share):
        if round(100 * value):
            color = "white" if value > 0.5 else "black"
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=color)
    figures.save(figure, path, dpi=100)
