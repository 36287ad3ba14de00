"""The config of `ifrkit predict`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ifrkit.config.fields import Size, label_formats, split_commas
from ifrkit.core.config import ByInput, Config, Runtime


class PredictConfig(Config):
    """`ifrkit predict`: class ids of every frame of the user's own videos."""

    videos: Annotated[tuple[str, ...], ByInput()] = Field(min_length=1)
    """Video files and folders of frames; what is in them counts for the id, not where they lie."""
    branch: Literal["update", "reference"] | None = None
    """Which one, of a branches artifact; None: the reference branch if there is one."""
    key_policy: Literal["fixed", "adaptive"] = "fixed"
    """adaptive: a key frame where the warped picture of the last one differs by more than `key_threshold`."""
    key_interval: int | None = Field(None, ge=1)
    """Frames from one key frame to the next (adaptive: at most). None: as in training (adaptive: no limit)."""
    key_threshold: float = Field(0.5, gt=0)
    """Difference as a share of the contrast: 0 all is explained, 0.7 to 1.4 another scene (docs/predict.md)."""
    size: Literal["train", "own"] | Size = "train"
    """What the networks see: as many pixels as in training, the frame's own size, or a (height, width)."""
    overlay: float = Field(0.5, ge=0, le=1)
    """Opacity of the colours in the overlay video; 0: no such video."""
    fps: float = Field(25.0, gt=0, le=1000)
    """Frames a second of the overlay, where the source does not say."""
    write: tuple[str, ...] = ()
    """Label formats in which labeling tools take the ids (flag --write), each in NAME/tools/FORMAT."""
    checkpoint: Literal["best", "last"] = "best"
    runtime: Runtime = Runtime()

    _commas = field_validator("write", mode="before")(split_commas)
    _formats = field_validator("write")(label_formats)

    def identity(self) -> dict[str, Any]:
        """Without `write` where nothing more is written."""
        tree = super().identity()
        if not self.write:
            del tree["write"]
        return tree
