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
    int8: bool = False
    """Graphs in 8-bit integers (flag --int8; ONNX alone): faster on processors that multiply them (VNNI, AMX)."""
    calibration: int = Field(64, ge=1)
    """Training frames, spread evenly, that show int8 graphs which values occur."""
    max_drop: float = Field(0.01, ge=0, le=1)
    """Largest mIoU, of 1, that int8 graphs may lose against the float ones on the labeled held-out frames."""
    tolerance: float = Field(1e-3, gt=0)
    """Largest difference to torch of any output on real frames, as a share of its largest value (at least 1)."""
