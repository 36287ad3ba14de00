"""Which pixels of a flow can be trusted: those that come back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ifrkit.metrics.base import PairFlow

RELATIVE, ABSOLUTE = 0.01, 0.5
"""Sundaram et al., ECCV 2010: |f + b'|^2 <= 0.01 (|f|^2 + |b'|^2) + 0.5, in pixels."""


def checked(forward_2hw: NDArray[np.float32], backward_2hw: NDArray[np.float32] | None) -> PairFlow:
    """Forward flow with the pixels that stay in the frame and, given the backward flow, return to where they were."""
    _, height, width = forward_2hw.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x + forward_2hw[0], y + forward_2hw[1]
    good = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    if backward_2hw is not None:
        border = cv2.BORDER_REPLICATE
        back = np.stack([cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=border) for part in backward_2hw])
        with np.errstate(over="ignore", invalid="ignore"):  # unknown flow is huge or NaN, and never consistent
            error = ((forward_2hw + back) ** 2).sum(0)
            allowed = RELATIVE * ((forward_2hw**2).sum(0) + (back**2).sum(0)) + ABSOLUTE
        good &= np.isfinite(error) & (error <= allowed)
    return PairFlow(np.ascontiguousarray(forward_2hw, dtype=np.float32), good)


def rule(backward: bool) -> str:
    """The rule in words, for reports."""
    inside = "inside the frame"
    return f"{inside}, and |f + b'|^2 <= {RELATIVE} (|f|^2 + |b'|^2) + {ABSOLUTE}" if backward else inside
