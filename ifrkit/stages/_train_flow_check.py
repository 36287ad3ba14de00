"""What `train-flow` refuses before its first step."""

from __future__ import annotations

from ifrkit.artifacts.job import input_of
from ifrkit.artifacts.store import Artifact
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.data.store.clips import ClipStore
from ifrkit.stages.ranks import Ranks
from ifrkit.train import flow_clips


def check(config: TrainFlowConfig, inputs: list[Artifact]) -> None:
    """The clips have the frames, and exact flow where it is asked for."""
    flow_clips.require(config, ClipStore.of(input_of(inputs, "clips")))
    config.loop.share(Ranks.from_environment().world)
