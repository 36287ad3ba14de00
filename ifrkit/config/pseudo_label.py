"""The config of `ifrkit pseudo-label`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ifrkit.core.config import Config, Runtime


class PseudoLabelConfig(Config):
    """`ifrkit pseudo-label`: hard labels and confidence of every training frame."""

    branch: Literal["update", "reference"] = "reference"
    checkpoint: Literal["best", "last"] = "best"
    flip: bool = True
    """Average the probabilities of each frame and its mirror image."""
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field((1.0,), min_length=1)
    """Average over these sizes of the frame, too; ST (CVPR 2022) takes 0.5, 0.75, 1, 1.5, 2: sixteen times the work."""
    batch: int = Field(4, ge=1)
    runtime: Runtime = Runtime()
