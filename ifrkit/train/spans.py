"""Which micro-batches this rank makes."""

from __future__ import annotations

from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.data.loading.stream import Span
from ifrkit.train import distributed


def span_of(config: TrainBranchesConfig | TrainFlowConfig | TrainFusionConfig, start: int, stop: int) -> Span:
    """Those of steps start..stop-1, as the config divides a step."""
    return Span(
        config.loop.batch,
        config.seed,
        start,
        stop,
        config.loop.accumulate,
        distributed.rank(),
        distributed.world(),
        config.runtime.workers,
    )
