"""What a video architecture is: the branches that it joins, what it can be trained on, and its model.

This part is torch-free: a dry run asks it. The model, `ifrkit/models/video.py`, is imported when it is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ifrkit.core.lazy import imported

if TYPE_CHECKING:
    from ifrkit.models.video import VideoModel


class Architecture:
    """One choice of `--arch`. Subclass it as `Architecture` in `ifrkit/architectures/NAME.py`."""

    branches: ClassVar[tuple[str, ...]] = ("reference",)
    model: ClassVar[type[VideoModel] | str]
    """The class, or its dotted name ("package.module:name"), which keeps torch out of a dry run."""

    @classmethod
    def require_pass(cls, images: int, crop: tuple[int, int]) -> None:
        """Raise ConfigError where so many clips a pass, of that (height, width), cannot train it."""

    @classmethod
    def build(cls, *parts: Any, seed: int = 0) -> VideoModel:
        """The model. parts: the network of each of `branches`, the flow network, the number of classes."""
        made: VideoModel = imported(cls.model)(*parts, seed)
        return made
