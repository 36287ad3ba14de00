"""Tables on a terminal."""

from __future__ import annotations

import sys

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ifrkit.core.text import safe


def drawn(title: str, columns: list[str], rows: list[list[str]]) -> Group:
    """A table below its title; the first column is text, the others are numbers."""
    table = Table()
    for index, column in enumerate(columns):
        table.add_column(plain(column), justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(plain, row))
    return Group(plain(title, "bold"), table)


def plain(text: str, style: str = "") -> Text:
    """Text for rich that is only text: nothing in it is markup, an emoji's name or an escape sequence."""
    return Text(safe(text), style)


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table to standard output; a file or pipe has no width, so no number is cut off there."""
    console = Console(highlight=False, width=None if sys.stdout and sys.stdout.isatty() else 1000)
    console.print(drawn(title, columns, rows))
