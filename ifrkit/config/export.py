"""The config of `ifrkit export`."""

from __future__ import annotations

from typing import Literal

from ifrkit.core.bounds import Natural, Positive, Share
from ifrkit.core.config import Config


class ExportConfig(Config):
    """`ifrkit export`: graphs that run without ifrkit."""

    format: Literal["onnx", "torch"] = "onnx"
    """onnx (needs the `onnx` extra), or torch: programs of torch.export."""
    checkpoint: Literal["best", "last"] = "best"
    int8: bool = False
    """Graphs in 8-bit integers (flag --int8; ONNX alone): faster on processors that multiply them (VNNI, AMX)."""
    calibration: Natural = 64
    """Training frames, spread evenly, that show int8 graphs which values occur."""
    max_drop: Share = 0.01
    """Largest mIoU, of 1, that int8 graphs may lose against the float ones on the labeled held-out frames."""
    tolerance: Positive = 1e-3
    """Largest difference to torch of any output on real frames, as a share of its largest value (at least 1)."""
