"""What `train-fusion` refuses before its first step: all that the clips, the branches and the config say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ifrkit.artifacts.indexes import require_branch
from ifrkit.artifacts.job import input_of
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load
from ifrkit.data.loading.shots import Shot, usable_clips
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.stages.ranks import Ranks
from ifrkit.train import flow_clips
from ifrkit.train.labeled import labeled_of

if TYPE_CHECKING:
    from ifrkit.architectures.base import Architecture
    from ifrkit.config.train_branches import TrainBranchesConfig
    from ifrkit.config.train_fusion import TrainFusionConfig


def check(config: TrainFusionConfig, inputs: list[Artifact]) -> None:
    """Branches, labels and frames are there, and flow or what trains it."""
    store, trained = ClipStore.of(input_of(inputs, "clips")), input_of(inputs, "branches")
    for branch in _joined(config, store, labeled_of(config, store, trained)):
        require_branch(trained, branch)
    if not any(artifact.kind == "flow" for artifact in inputs):
        flow_clips.require(config.pretrain, store, "pretrain.crop")
        config.pretrain.loop.share(Ranks.from_environment().world)


def check_ahead(config: TrainFusionConfig, branches: TrainBranchesConfig, inputs: list[Artifact]) -> None:
    """What `check` will say of the clips, while its branches and flow are still to be trained."""
    store = ClipStore.of(input_of(inputs, "clips"))
    for branch in _joined(config, store, labeled_clips(store, config.labeled or branches.labeled)):
        if branch not in branches.branches:
            raise ConfigError(f"--arch {config.arch} wants a {branch} branch", f"train {branch}, too")


def _joined(config: TrainFusionConfig, store: ClipStore, labeled: Sequence[int]) -> tuple[str, ...]:
    """The branches that the architecture joins, which these labels, frames and this batch size can train."""
    architecture: type[Architecture] = load("architectures", config.arch)
    usable_clips(store, labeled, Shot("fixed", config.crop))
    architecture.require_pass(config.loop.share(Ranks.from_environment().world), config.crop)
    return architecture.branches
