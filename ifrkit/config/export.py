"""The config of `ifrkit export`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ifrkit.core.config import Config


class ExportConfig(Config):
    """`ifrkit export`: graphs that run without ifrkit."""

    format: Literal["onnx", "torch"] = "onnx"
    """onnx (needs the `onnx` extra), or torch: programs of torch.export."""
    checkpoint: Literal["best", "last"] = "best"
    tolerance: float = Field(1e-3, gt=0)
    """Largest difference to torch of any output on real frames, as a share of its largest value (at least 1)."""
