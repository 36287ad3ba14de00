"""DIS optical flow (Kroeger et al., ECCV 2016) by OpenCV: no training, the same for every model."""

from __future__ import annotations

from typing import Any

from ifrkit.core.lazy import cv2
from ifrkit.core.records import Frame, PairFlow
from ifrkit.data.pixels.flow import consistent_flow, rule
from ifrkit.flow_sources import base


class FlowSource(base.FlowSource):
    """OpenCV's medium preset on gray frames of the store, both ways."""

    any_frames = True

    def between(self, here_hw3: Frame, there_hw3: Frame) -> PairFlow:
        return consistent_flow(here_hw3, there_hw3)

    def describe(self) -> dict[str, Any]:
        return {"source": "dis", "preset": "medium", "opencv": cv2.__version__, "consistent": rule(backward=True)}
