"""cache-features: what a frozen backbone makes of every frame, so that heads train without running it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage

if TYPE_CHECKING:
    from ifrkit.artifacts import indexes
    from ifrkit.config import network
else:
    indexes, network = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.config.network")


STAGE = Stage(
    name="cache-features",
    kind="features",
    schema=2,
    config="ifrkit.config.cache_features:CacheFeaturesConfig",
    run="ifrkit.stages._cache_features:run",
    help="Run a frozen backbone once, for heads that train in minutes.",
    order=17,
    needs=("clips",),
    payload=("features.json", "backbone.safetensors", "features-*.h5"),
    resumable=True,
    check="ifrkit.stages._cache_features_check:check",
    space="ifrkit.stages._cache_features_check:space",
    label=lambda config: f"{config.branch}-{network.branch_title(config.network.tree())}",
    after=lambda features, workspace: [
        *("train-branches", "--ssl", "none", "--branch", indexes.Features.read(features).branch, "--from", "features")
    ],
)
