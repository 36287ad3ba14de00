"""Figures of matplotlib that are drawn into files, whatever display there is and whatever their texts hold."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ifrkit.core.text import safe


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, with room made for what is drawn."""
    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def drawn(text: object) -> str:
    """Text for a figure that is only text: a dollar sign begins no formula."""
    return safe(text).replace("$", r"\$")


def save(figure: Figure, file: Path | IO[Any], **options: Any) -> None:
    """Write a figure. Letters that its font lacks become boxes, which needs no warning."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        figure.savefig(file, **options)
