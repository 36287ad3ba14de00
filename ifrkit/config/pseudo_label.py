"""The config of `ifrkit pseudo-label`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ifrkit.core.bounds import Natural
from ifrkit.core.config import Config, Runtime


class PseudoLabelConfig(Config):
    """`ifrkit pseudo-label`: hard labels and confidence of every training frame."""

    branch: Literal["update", "reference"] = "reference"
    checkpoint: Literal["best", "last"] = "best"
    flip: bool = True
    """Average the probabilities of each frame and its mirror image."""
    scales: Annotated[tuple[Annotated[float, Meta(gt=0, le=4)], ...], Meta(min_length=1)] = (1.0,)
    """Average over these sizes of the frame, too; ST (CVPR 2022) takes 0.5, 0.75, 1, 1.5, 2: sixteen times the work."""
    batch: Natural = 4
    runtime: Runtime = Runtime()
