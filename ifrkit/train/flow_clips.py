"""What the training of flow wants of its clips. No torch here: a dry run asks it."""

from __future__ import annotations

from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.core.errors import ConfigError
from ifrkit.data.loading.shots import Shot, usable_clips
from ifrkit.data.store.clips import ClipStore


def require(config: TrainFlowConfig, store: ClipStore, key: str = "crop") -> None:
    """Raise ConfigError where these clips cannot train flow. key: of the crop in the config."""
    if config.supervision == "truth" and not store.has_flow:
        raise ConfigError(f"supervision truth: {store.name} has no exact flow", "use photometric")
    usable_clips(store, store.clips_of("train"), shot_of(config, store), key)


def shot_of(config: TrainFlowConfig, store: ClipStore) -> Shot:
    """The pairs of frames that it trains on."""
    truth = config.supervision == "truth" or (config.supervision == "auto" and store.has_flow)
    return Shot("truth" if truth else "pairs", config.crop, config.max_distance)
