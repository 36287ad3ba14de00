"""The config of `ifrkit eval`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from ifrkit.core.bounds import Count, Natural
from ifrkit.core.config import Config, Runtime, settle
from ifrkit.core.plugins import is_known, require, spelled


class EvalConfig(Config):
    """`ifrkit eval`: metrics of a branch or a video model, beside the free baselines."""

    COMMAS = ("metrics",)

    metrics: Annotated[tuple[str, ...], Meta(min_length=1)] = ("miou",)
    flow: str = "dis"
    """Flow for TC: dis (OpenCV), truth (the dataset's own), a flow artifact, or a folder of .flo files."""
    split: Literal["train", "val", "test"] = "val"
    frames: Literal["annotated", "all"] = "annotated"
    """all: score every frame with a label, hidden ones too; on train this reports the inner-video gap."""
    key_interval: Natural = 5
    distance: Count = 4
    """Distance of the scored frame to its key frame."""
    distances: Count = 0
    """N: also mIoU at each distance 0..N-1, hence of key intervals 1..N; 0: not."""
    corruptions: bool = False
    """Also judge the model on frames made worse: fog, night, blur, noise, jpeg, shake, of four strengths each."""
    label_size: Literal["store", "full"] = "store"
    scale: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """The networks see this share of the frames' height and width, as with `scale` of predict."""
    checkpoint: Literal["best", "last"] = "best"
    pictures: Count = 8
    """How many frames are drawn as frame | label | prediction."""
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        for name in self.metrics:
            require("metrics", name)
        settle(self, metrics=tuple(dict.fromkeys(map(spelled, self.metrics))))

    def identity(self) -> dict[str, Any]:
        """A flow artifact and a folder count by what they hold, not by how they were named."""
        flow = spelled(self.flow)
        return {**super().identity(), "flow": flow if is_known("flow_sources", flow) else "given"}
