"""What the training stages refuse before their first step: all that the clips, the config and the networks say."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ifrkit.artifacts.indexes import require_branch
from ifrkit.artifacts.job import input_of
from ifrkit.artifacts.store import Artifact
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.config.training import BalanceConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.keyed import key_seed
from ifrkit.core.plugins import load
from ifrkit.data.loading.loader import pools_of
from ifrkit.data.loading.shots import Shot, usable_clips
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.models.network import build_network
from ifrkit.stages.ranks import Ranks
from ifrkit.train import flow_clips
from ifrkit.train.stage_one import BranchTask, sources_of
from ifrkit.train.stage_two import labeled_of


def branches(config: TrainBranchesConfig, inputs: list[Artifact]) -> None:
    """The labels, views and networks of every branch are made as the run makes them; no batch is read."""
    store = ClipStore.of(input_of(inputs, "clips"))
    labeled = labeled_clips(store, config.labeled)
    world = Ranks.from_environment().world
    share = config.loop.share(world)
    sources = sources_of(inputs, store, labeled)
    # What is counted in the pixels of all labels refuses nothing, and takes its time.
    plain = {"balance": BalanceConfig(), "crop": config.crop.model_copy(update={"rare": 0.0})}
    light = config.model_copy(update=plain)
    for branch in config.branches:
        seed = key_seed(config.seed, "network", branch)
        network = build_network(getattr(config, branch), store.labels.num_classes, seed)
        task = BranchTask(network, light, store, labeled, torch.device("cpu"), sources)
        pools_of(task.clips, task.views, task.crop)
        for view in task.views:
            view.placement.require(network.stride)
        network.require_pass(share, world)


def fusion(config: TrainFusionConfig, inputs: list[Artifact]) -> None:
    """Branches, labels and frames are there, and flow or what trains it."""
    store, trained = ClipStore.of(input_of(inputs, "clips")), input_of(inputs, "branches")
    for branch in _joined(config, store, labeled_of(config, store, trained)):
        require_branch(trained, branch)
    if not any(artifact.kind == "flow" for artifact in inputs):
        flow_clips.require(config.pretrain, store, "pretrain.crop")
        config.pretrain.loop.share(Ranks.from_environment().world)


def fusion_ahead(config: TrainFusionConfig, branches: TrainBranchesConfig, inputs: list[Artifact]) -> None:
    """What `fusion` will say of the clips, while its branches and flow are still to be trained."""
    store = ClipStore.of(input_of(inputs, "clips"))
    for branch in _joined(config, store, labeled_clips(store, config.labeled or branches.labeled)):
        if branch not in branches.branches:
            raise ConfigError(f"--arch {config.arch} wants a {branch} branch", f"train {branch}, too")


def _joined(config: TrainFusionConfig, store: ClipStore, labeled: Sequence[int]) -> tuple[str, ...]:
    """The branches that the architecture joins, which these labels, frames and this batch size can train."""
    architecture = load("architectures", config.arch)
    usable_clips(store, labeled, Shot("fixed", config.crop))
    architecture.require_pass(config.loop.share(Ranks.from_environment().world), config.crop)
    branches: tuple[str, ...] = architecture.branches
    return branches
