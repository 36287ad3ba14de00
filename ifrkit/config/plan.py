"""The config of `ifrkit plan`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from ifrkit.config.fields import Size, require_possible
from ifrkit.core.bounds import Natural
from ifrkit.core.config import ByInput, Config


class PlanConfig(Config):
    """`ifrkit plan`: how fast each way to predict is on this machine."""

    what: Annotated[str, ByInput()]
    """A video, a folder of frames, or a size as HEIGHTxWIDTH; the machine and what a file holds count for the id."""
    intervals: tuple[Annotated[int, Meta(ge=2)], ...] = (2, 5, 10)
    """Key intervals of a video model."""
    scale: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """Of the light network that sees smaller frames (`scale` of predict)."""
    size: Literal["train", "own"] | Size = "train"
    """What the networks see, as in predict."""
    rounds: Natural = 5
    """Each goes through all choices, so that a busy machine slows all of them; the median counts."""
    threads: Natural | None = None
    """CPU threads (flag --threads); None: as many as torch takes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Flag --device."""

    def __post_init__(self) -> None:
        require_possible("size", self.size)

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width), where a size is named and no file has that name."""
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.what)
        return (int(found[1]), int(found[2])) if found and not Path(self.what).exists() else None

    @property
    def videos(self) -> tuple[str, ...]:
        """As predict's config has them."""
        return (self.what,)
