"""The config of `ifrkit eval`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ifrkit.config.fields import split_commas
from ifrkit.core.config import Config, Runtime
from ifrkit.core.plugins import names, require, spelled


class EvalConfig(Config):
    """`ifrkit eval`: metrics of a branch or a video model, beside the free baselines."""

    metrics: tuple[str, ...] = Field(("miou",), min_length=1)
    flow: str = "dis"
    """Flow for TC: dis (OpenCV), truth (the dataset's own), a flow artifact, or a folder of .flo files."""
    split: Literal["train", "val", "test"] = "val"
    frames: Literal["annotated", "all"] = "annotated"
    """all: score every frame with a label, hidden ones too; on train this reports the inner-video gap."""
    key_interval: int = Field(5, ge=1)
    distance: int = Field(4, ge=0)
    """Distance of the scored frame to its key frame."""
    distances: int = Field(0, ge=0)
    """N: also mIoU at each distance 0..N-1, hence of key intervals 1..N; 0: not."""
    corruptions: bool = False
    """Also judge the model on frames made worse: fog, night, blur, noise, jpeg, shake, of four strengths each."""
    label_size: Literal["store", "full"] = "store"
    scale: float = Field(1.0, gt=0, le=1)
    """The networks see this share of the frames' height and width, as with `scale` of predict."""
    checkpoint: Literal["best", "last"] = "best"
    pictures: int = Field(8, ge=0)
    """How many frames are drawn as frame | label | prediction."""
    runtime: Runtime = Runtime()

    _commas = field_validator("metrics", mode="before")(split_commas)

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, named: tuple[str, ...]) -> tuple[str, ...]:
        for name in named:
            require("metrics", name)
        return tuple(dict.fromkeys(map(spelled, named)))

    def identity(self) -> dict[str, Any]:
        """A flow artifact and a folder count by what they hold, not by how they were named."""
        flow = spelled(self.flow)
        return {**super().identity(), "flow": flow if flow in names("flow_sources") else "given"}
