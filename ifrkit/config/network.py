"""The config of one segmentation branch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ifrkit.core.config import Config, FileContent


class NetworkConfig(Config):
    """One segmentation branch: backbone (output stride 8) and head."""

    backbone: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = "resnet18"
    stem: Literal["deep", "basic"] = "deep"
    """deep: three 3x3 convolutions, 128 channels (released code); basic: one 7x7, 64 channels (torchvision)."""
    head: Literal["psp", "deeplabv3plus"] = "psp"
    """psp: maps at 1/8 (released code); deeplabv3plus: maps at 1/4, four times the memory of what works on them."""
    width: float = Field(1.0, gt=0, le=4)
    """Multiplies every channel count; below 1 makes nets for the CPU."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout2d in front of the classifier."""
    pretrained: Annotated[str | None, FileContent()] = None
    """Weights file to start from; a missing or unfit file is an error. None: random start."""
