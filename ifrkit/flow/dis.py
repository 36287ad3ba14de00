"""DIS optical flow (Kroeger et al., ECCV 2016) by OpenCV: no training, the same for every model."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ifrkit.flow import base
from ifrkit.flow._consistency import checked, rule
from ifrkit.metrics.base import PairFlow

if TYPE_CHECKING:
    from ifrkit.data.store import ClipStore


class FlowSource(base.FlowSource):
    """OpenCV's medium preset on gray frames of the store, both ways."""

    @cached_property
    def _dis(self) -> Any:
        return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def pair(self, store: ClipStore, clip: int, index: int) -> PairFlow:
        first, second = (cv2.cvtColor(store.frame(clip, i), cv2.COLOR_RGB2GRAY) for i in (index, index + 1))
        return checked(self._flow(first, second), self._flow(second, first))

    def _flow(self, first: Any, second: Any) -> NDArray[np.float32]:
        flow: NDArray[np.float32] = self._dis.calc(first, second, None).transpose(2, 0, 1)
        return flow

    def describe(self) -> dict[str, Any]:
        return {"source": "dis", "preset": "medium", "opencv": cv2.__version__, "consistent": rule(backward=True)}
