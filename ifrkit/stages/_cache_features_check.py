"""What `cache-features` refuses before it reads a frame, and how much it will write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ifrkit.artifacts.indexes import FeatureMap
from ifrkit.artifacts.job import input_of
from ifrkit.artifacts.store import Artifact
from ifrkit.config.cache_features import CacheFeaturesConfig
from ifrkit.core.keyed import key_seed
from ifrkit.core.lazy import lazy
from ifrkit.data.store.clips import ClipStore

if TYPE_CHECKING:
    from ifrkit.models import network
    from ifrkit.models.trunk import Trunk
else:
    network = lazy("ifrkit.models.network")


_LINE = 64
"""Bytes of the index for a frame, and of the file around its maps, at the most."""


def check(config: CacheFeaturesConfig, inputs: list[Artifact]) -> None:
    """The clips can be read. What the network refuses is refused by `space`, which is asked next and builds it."""
    ClipStore.of(input_of(inputs, "clips"))


def built(config: CacheFeaturesConfig, store: ClipStore) -> network.Network:
    """The network, with its weights: its backbone starts as that of `train-branches` does."""
    seed = key_seed(config.seed, "network", config.branch)
    return network.build_network(config.network, store.labels.num_classes, seed)


def maps_of(trunk: Trunk, size: tuple[int, int]) -> list[FeatureMap]:
    """The maps of frames of a (height, width)."""
    return [
        FeatureMap(channels=channels, height=-(-size[0] // stride), width=-(-size[1] // stride), stride=stride)
        for channels, stride in zip(trunk.channels, trunk.strides, strict=True)
    ]


def frame_bytes(maps: Sequence[FeatureMap]) -> int:
    """What the maps of a frame and of its mirror image take."""
    return sum(2 * 2 * m.channels * m.height * m.width for m in maps)


def space(config: CacheFeaturesConfig, inputs: list[Artifact]) -> int:
    """Bytes of all maps, of the weights, and of a line of the index for each frame."""
    store = ClipStore.of(input_of(inputs, "clips"))
    trunk = built(config, store).backbone
    weights: int = sum(value.nbytes for value in trunk.state_dict().values())
    return weights + store.stored_frames * (frame_bytes(maps_of(trunk, store.size)) + _LINE)
