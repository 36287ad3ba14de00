"""The config of `ifrkit prepare`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ifrkit.config.fields import Size, plugin_config, require_possible
from ifrkit.core.bounds import Natural
from ifrkit.core.config import Config, Open, Runtime, settle
from ifrkit.core.plugins import spelled


class PrepareConfig(Config):
    """`ifrkit prepare`: read a dataset once, write the clip store."""

    PLUGIN = ("dataset", "options")

    dataset: str
    """Name of the dataset plug-in."""
    root: str = ""
    """Where the downloaded dataset lies (not part of the id: the files' fingerprint is)."""
    options: Open[Config] = Config()
    """The dataset's own options."""
    size: Size | None = None
    """Frames are stored at this (height, width); default: the dataset's."""
    codec: Literal["raw", "png", "jpeg"] = "raw"
    """Frames on disk: raw uint8 (fastest to crop), lossless png, or jpeg."""
    jpeg_quality: Annotated[int, Meta(ge=1, le=100)] = 95
    file_mib: Natural = 2048
    """A store file is closed and the next one begun at this size."""
    full_labels: bool = False
    """Also keep val and test labels at their own resolution, for `eval --set label_size=full`."""
    seed: int = 0
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        require_possible("size", self.size)
        name = spelled(self.dataset)
        settle(self, dataset=name, options=plugin_config("datasets", name, self.options, "options"))
