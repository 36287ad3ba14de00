"""What `train-branches` refuses before its first step: all that the clips, the config and the networks say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ifrkit.artifacts.job import input_of
from ifrkit.artifacts.store import Artifact
from ifrkit.core.lazy import lazy
from ifrkit.core.plugins import load
from ifrkit.data.loading.pools import Clips, pools_of
from ifrkit.data.loading.views import Placement
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.models.backbones.base import Backbone
from ifrkit.models.norm_rules import require_pass
from ifrkit.models.public import AUTO
from ifrkit.models.weight_limits import require_few, require_size
from ifrkit.stages.ranks import Ranks
from ifrkit.train.chosen import chosen_methods, merged_views, teacher_of

if TYPE_CHECKING:
    from ifrkit.config.network import NetworkConfig
    from ifrkit.config.train_branches import TrainBranchesConfig
    from ifrkit.data.store import features, pseudo
    from ifrkit.models import network
else:
    features, pseudo = lazy("ifrkit.data.store.features"), lazy("ifrkit.data.store.pseudo")
    network = lazy("ifrkit.models.network")


def check(config: TrainBranchesConfig, inputs: list[Artifact]) -> None:
    """Labels, views and passes fit the clips, and the networks can be built."""
    store = ClipStore.of(input_of(inputs, "clips"))
    labeled = labeled_clips(store, config.labeled)
    world = Ranks.from_environment().world
    share = config.loop.share(world)
    _require_sources(inputs, store, labeled)
    views = merged_views(chosen_methods(config), config.unlabeled)
    one_frame = config.unlabeled == "annotated"
    pools_of(Clips(store, labeled, store.clips_of("train"), one_frame), views, config.crop.fitted(store.size))
    for branch in config.branches:
        own: NetworkConfig = getattr(config, branch)
        _require_network(own, store.labels.num_classes, [view.placement for view in views])
        require_pass(own, share, world)


def _require_sources(inputs: Sequence[Artifact], store: ClipStore, labeled: list[int]) -> None:
    """Written labels are of these clips, and the weights of a teacher are sound."""
    for artifact in inputs:
        if artifact.kind == "pseudo-labels":
            pseudo.PseudoLabels(artifact, store, labeled)
        elif artifact.kind == "features":
            features.CachedFeatures(artifact).require(store)
        elif artifact.kind == "branches":
            branch, checkpoint = teacher_of(artifact, store)
            weights = artifact.file(f"{branch}.{checkpoint}.safetensors")
            require_size(weights)
            require_few(weights)


def _require_network(config: NetworkConfig, classes: int, placements: Sequence[Placement]) -> None:
    """It is built only where the config does not say that it can be: that takes torch, longer than all else here."""
    plugin: Backbone = load("backbones", config.backbone)(config)
    asked = [placement for placement in placements if placement.limits_stride]
    if plugin.settled and config.freeze in ("none", "all") and not asked:
        if config.pretrained == AUTO and plugin.public is not None:
            plugin.public.path()
        return
    built = network.build_network(config, classes, seed=0)
    for placement in asked:
        placement.require(built.stride)
