"""Which clips stage two may see the label of. No torch here: a dry run asks it."""

from __future__ import annotations

from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.store import Artifact
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips


def labeled_of(config: TrainFusionConfig, store: ClipStore, branches: Artifact) -> list[int]:
    """The labeled set of the branches, unless the config names another."""
    if config.labeled is not None:
        return labeled_clips(store, config.labeled)
    names = set(Branches.read(branches).labeled)
    return [i for i in store.clips_of("train") if store.clips[i].name in names]
