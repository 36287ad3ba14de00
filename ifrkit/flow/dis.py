"""DIS optical flow (Kroeger et al., ECCV 2016) by OpenCV: no training, the same for every model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ifrkit.flow import base
from ifrkit.flow._consistency import checked, rule
from ifrkit.metrics.base import PairFlow

if TYPE_CHECKING:
    from ifrkit.data.store import ClipStore


def consistent_flow(first_hw3: NDArray[np.uint8], second_hw3: NDArray[np.uint8]) -> PairFlow:
    """Flow from the pixels of one RGB image to those of another, and where it comes back."""
    first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first_hw3, second_hw3))
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = (dis.calc(a, b, None).transpose(2, 0, 1) for a, b in ((first, second), (second, first)))
    return checked(there, back)


class FlowSource(base.FlowSource):
    """OpenCV's medium preset on gray frames of the store, both ways."""

    def pair(self, store: ClipStore, clip: int, index: int) -> PairFlow:
        return consistent_flow(store.frame(clip, index), store.frame(clip, index + 1))

    def describe(self) -> dict[str, Any]:
        return {"source": "dis", "preset": "medium", "opencv": cv2.__version__, "consistent": rule(backward=True)}
