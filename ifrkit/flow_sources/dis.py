"""DIS optical flow (Kroeger et al., ECCV 2016) by OpenCV: no training, the same for every model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2

from ifrkit.core.records import PairFlow
from ifrkit.data.pixels.flow import consistent_flow, rule
from ifrkit.flow_sources import base

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore


class FlowSource(base.FlowSource):
    """OpenCV's medium preset on gray frames of the store, both ways."""

    def pair(self, store: ClipStore, clip: int, index: int) -> PairFlow:
        return consistent_flow(store.frame(clip, index), store.frame(clip, index + 1))

    def describe(self) -> dict[str, Any]:
        return {"source": "dis", "preset": "medium", "opencv": cv2.__version__, "consistent": rule(backward=True)}
