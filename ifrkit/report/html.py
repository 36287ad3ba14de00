"""The few forms that the page is built of. Every text is escaped here; nothing refers to anything outside."""

from __future__ import annotations

import base64
import contextlib
import html
import io
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from PIL import Image

from ifrkit.core.errors import ArtifactError
from ifrkit.core.text import safe

Cell = str | tuple[str, float]
"""A text, or a text with the length of its bar (0 to 1)."""

WIDTH = 1440
"""Pixels of a strip of four panels at most."""


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The page forbids itself to load anything."""


def document(title: str, main: str) -> str:
    """A whole page: one file that needs no network and no script."""
    style = resources.files("ifrkit.report").joinpath("page.css").read_text()
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<meta name="color-scheme" '
        f'content="light dark"><title>ifrkit: {text(title)}</title>\n<style>\n{style}</style>'
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body><main>{main}</main></body>\n</html>\n'


def text(foreign: object) -> str:
    """Text as a page holds it, in an attribute too: none of it is a mark of HTML, or turns or hides the rest."""
    return html.escape(safe(foreign))


def preformatted(lines: Sequence[str]) -> str:
    """Lines as they are."""
    return f"<pre>{chr(10).join(map(text, lines))}</pre>\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> str:
    """A table whose first column are row headers; it scrolls by itself where the screen is narrow."""
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{text(_words(row[0]))}</th>{"".join(map(_cell, row[1:]))}</tr>\n' for row in rows
    )
    inner = f"<table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return scroller(inner, caption)


def scroller(inner: str, label: str) -> str:
    """What may be wider than the screen; the keyboard reaches it."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{text(label)}">{inner}</div>\n'


def _words(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{text(cell)}</td>"
    return f'<td class="bar" style="--v:{100 * cell[1]:.1f}%">{text(cell[0])}</td>'


def section(title: str, inner: str, note: str = "") -> str:
    """A section with its heading; empty for nothing inside."""
    said = f"<p>{text(note)}</p>\n" if note else ""
    return f"<section><h2>{text(title)}</h2>\n{said}{inner}</section>\n" if inner else ""


def details(summary: str, inner: str, *, shown: bool = False) -> str:
    """Something that opens and closes without any script."""
    return f"<details{' open' if shown else ''}><summary>{text(summary)}</summary>\n{inner}</details>\n"


def figure(picture: str, alt: str, caption: str) -> str:
    """picture: a data URI."""
    image = f'<img src="{picture}" alt="{text(alt)}" loading="lazy">'
    return f"<figure>{scroller(image, alt)}<figcaption>{text(caption)}</figcaption></figure>\n"


def photo(path: Path) -> str:
    """A picture as a data URI: WebP of at most WIDTH pixels. The header is checked before anything is decoded."""
    with _opened(path) as image:
        scale = min(1.0, WIDTH / image.width)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=70)
    return _uri(file.getvalue())


def animation(path: Path) -> tuple[str, str]:
    """An animated WebP as it is, and its first picture for readers who want nothing to move."""
    with _opened(path) as image:
        file = io.BytesIO()
        image.convert("RGB").save(file, "WEBP", quality=70)
    return _uri(path.read_bytes()), _uri(file.getvalue())


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture. Raises ArtifactError where it is not one, or cannot be decoded."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > 50_000_000:
                fault = f"{path}: {image.width}x{image.height} pixels are not a picture of a report"
                raise ArtifactError(fault, "evaluate again")
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ArtifactError(f"{path}: not a sound picture ({error})", "evaluate again") from None


def _uri(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode()
