"""The config of `ifrkit plan`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ifrkit.config.fields import Size
from ifrkit.core.config import ByInput, Config


class PlanConfig(Config):
    """`ifrkit plan`: how fast each way to predict is on this machine."""

    what: Annotated[str, ByInput()]
    """A video, a folder of frames, or a size as HEIGHTxWIDTH; the machine and what a file holds count for the id."""
    intervals: tuple[Annotated[int, Field(ge=2)], ...] = (2, 5, 10)
    """Key intervals of a video model."""
    scale: float = Field(0.5, gt=0, lt=1)
    """Of the light network that sees smaller frames (`scale` of predict)."""
    size: Literal["train", "own"] | Size = "train"
    """What the networks see, as in predict."""
    rounds: int = Field(5, ge=1)
    """Each goes through all choices, so that a busy machine slows all of them; the median counts."""
    threads: int | None = Field(None, ge=1)
    """CPU threads (flag --threads); None: as many as torch takes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Flag --device."""

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width), where a size is named and no file has that name."""
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.what)
        return (int(found[1]), int(found[2])) if found and not Path(self.what).exists() else None

    @property
    def videos(self) -> tuple[str, ...]:
        """As predict's config has them."""
        return (self.what,)
