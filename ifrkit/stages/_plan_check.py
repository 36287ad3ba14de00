"""What `plan` refuses before it measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.artifacts.store import Artifact
from ifrkit.config.plan import PlanConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit.predict import sources
else:
    sources = lazy("ifrkit.predict.sources")


def check(config: PlanConfig, inputs: list[Artifact]) -> None:
    """A size, or one video that can be opened."""
    if config.frame_size is None and len(found := sources.survey(config.videos).videos) != 1:
        raise ConfigError(f"{config.what}: holds {len(found)} videos", "name one of them, or a size: 360x480")
