"""Optical flow of two images by DIS, and which pixels of a flow can be trusted: those that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifrkit.core.lazy import cv2, np
from ifrkit.core.records import PairFlow

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


def consistent_flow(first_hw3: NDArray[np.uint8], second_hw3: NDArray[np.uint8]) -> PairFlow:
    """Flow from the pixels of one RGB image to those of another, and where it comes back."""
    first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first_hw3, second_hw3))
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = (dis.calc(a, b, None).transpose(2, 0, 1) for a, b in ((first, second), (second, first)))
    return checked(there, back)
