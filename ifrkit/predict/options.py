"""Which options of `predict` fit a model. Light: a dry run asks it, without torch."""

from __future__ import annotations

from ifrkit.artifacts.store import Artifact
from ifrkit.config.predict import PredictConfig
from ifrkit.core.errors import ConfigError


def require_fit(given: Artifact, config: PredictConfig) -> None:
    """Raise ConfigError for options that networks of this kind do not have."""
    if given.kind == "video-model" and config.branch is not None:
        fault = f"--branch {config.branch}: {given.path} is a video model, which uses both"
        raise ConfigError(fault, "name a branches artifact with --from")
    if given.kind == "branches":
        require_no_keys(given, config)


def require_no_keys(given: Artifact, config: PredictConfig) -> None:
    """Raise ConfigError for options of key frames."""
    if config.key_policy == "adaptive" or config.key_interval is not None:
        fault = f"{given.path} holds branches alone: it has no key frames"
        raise ConfigError(fault, "name a video-model with --from, or leave --key-interval and --key-policy out")
