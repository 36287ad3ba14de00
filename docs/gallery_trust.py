"""A picture of a trust report, from the facts that `ifrkit report --trust` writes beside its page.

python docs/gallery_trust.py trust.json [DIRECTORY]        default: gallery/ in the current directory
"""

from __future__ import annotations

import io
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ifrkit.evaluation.tables import percent
from ifrkit.report.trust_page import draw_corruptions, draw_reliability

WIDTH, COLUMN, LINE, MARGIN = 1000, 480, 17, 12
LETTERS = 68
"""Of a line in a column."""
WORST = 4


def lines(facts: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """What the page says in words, and whether a line is a heading."""
    model, labels = facts["model"], facts["labels"]
    yield f"{'+'.join(model['ssl'])}, {labels['labeled_frames']} labels, {facts['measured']['dataset']}", True
    for title, said in (("Do not use it for", facts["not_for"]), ("What may flatter the numbers", facts["leakage"])):
        yield title, True
        for item in said:
            yield from ((line, False) for line in textwrap.wrap(f"- {item}", LETTERS, subsequent_indent="  "))
    yield f"Headlines, {facts['measured']['videos']} videos (%)", True
    for row in facts["headlines"]:
        best = ", 0 best" if row["smaller_is_better"] else ""
        ends = "" if row["interval"] is None else f" [{percent(row['interval'][0])}, {percent(row['interval'][1])}]"
        yield f"{row['title']}{best}: {percent(row['value'])}{ends}", False
    yield "Worst classes and video (%)", True
    yield ", ".join(f"{row['class']} {percent(row['iou'])}" for row in facts["classes"][:WORST]), False
    yield ", ".join(f"{row['video']} {percent(row['miou'])}" for row in facts["videos"][:1]), False


def drawn(figure: Any, width: int) -> Image.Image:
    """A figure in this width."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=150, facecolor="white")
    image = Image.open(data).convert("RGB")
    return image.resize((width, image.height * width // image.width), Image.Resampling.LANCZOS)


def sheet(facts: dict[str, Any]) -> Image.Image:
    """Words on the left, the reliability curve and the corruptions on the right."""
    said = list(lines(facts))
    figures = [
        drawn(draw_reliability(facts["calibration"]["curve"]), COLUMN * 5 // 8),
        drawn(draw_corruptions(facts["corruptions"]), COLUMN),
    ]
    height = max(LINE * len(said) + 12 * sum(heading for _, heading in said), sum(f.height for f in figures))
    found = Image.new("RGB", (WIDTH, height + 2 * MARGIN), "white")
    pen, y = ImageDraw.Draw(found), MARGIN
    for text, heading in said:
        y += 12 if heading else 0
        pen.text((MARGIN, y), text, "black" if heading else (70, 70, 70), ImageFont.load_default(15 if heading else 13))
        y += LINE
    y = MARGIN
    for figure in figures:
        found.paste(figure, (WIDTH - COLUMN - MARGIN, y))
        y += figure.height
    return found


def main(facts: Path, directory: Path) -> None:
    """Write the picture."""
    directory.mkdir(parents=True, exist_ok=True)
    sheet(json.loads(facts.read_text())).save(directory / "trust.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "gallery"))
