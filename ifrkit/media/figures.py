"""Figures of matplotlib that are drawn into files, whatever display there is."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, with room made for what is drawn."""
    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
