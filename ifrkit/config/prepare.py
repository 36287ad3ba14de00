"""The config of `ifrkit prepare`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, model_validator

from ifrkit.config.fields import Size, plugin_config
from ifrkit.core.config import Config, Runtime
from ifrkit.core.plugins import spelled


class PrepareConfig(Config):
    """`ifrkit prepare`: read a dataset once, write the clip store."""

    PLUGIN: ClassVar[tuple[str, str] | None] = ("dataset", "options")

    dataset: str
    """Name of the dataset plug-in."""
    root: str = ""
    """Where the downloaded dataset lies (not part of the id: the files' fingerprint is)."""
    options: SerializeAsAny[Config] = Config()
    """The dataset's own options."""
    size: Size | None = None
    """Frames are stored at this (height, width); default: the dataset's."""
    codec: Literal["raw", "png", "jpeg"] = "raw"
    """Frames on disk: raw uint8 (fastest to crop), lossless png, or jpeg."""
    jpeg_quality: int = Field(95, ge=1, le=100)
    file_mib: int = Field(2048, ge=1)
    """A store file is closed and the next one begun at this size."""
    full_labels: bool = False
    """Also keep val and test labels at their own resolution, for `eval --set label_size=full`."""
    seed: int = 0
    runtime: Runtime = Runtime()

    @model_validator(mode="before")
    @classmethod
    def _options(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("dataset"), str):
            name = spelled(data["dataset"])
            options = plugin_config("datasets", name, data.get("options"), "options")
            data = {**data, "dataset": name, "options": options}
        return data
