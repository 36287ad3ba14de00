"""TC-pair: the TC of each pair of frames on its own, then their mean (the habit of several later codebases)."""

from __future__ import annotations

from typing import Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.metrics._confusion import confusion, iou, mean_present
from ifrkit.metrics._pairs import pairs, warp_nearest

SCALE = 1 << 40
"""A pair's value is summed in 2^-40 steps, so that shards add up exactly in any order."""


class Metric(base.Metric):
    """Mean over pairs of the mean over present classes."""

    protocol = "stream"
    needs = frozenset({"flows"})
    headline = "tc_pair"
    title = "TC-pair"

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {"sum": np.zeros(1, np.int64), "pairs": np.zeros(1, np.int64)}

    def update(self, clip: base.ClipResult) -> None:
        for first, second, flow in pairs(clip):
            warped = warp_nearest(second, flow.flow_2hw)
            value = mean_present(iou(confusion(first, warped, self.num_classes, flow.consistent_hw)))
            if value is not None:
                self.counts["sum"] += round(value * SCALE)
                self.counts["pairs"] += 1

    def compute(self) -> dict[str, Any]:
        count = int(self.counts["pairs"][0])
        return {"tc_pair": int(self.counts["sum"][0]) / SCALE / count if count else None, "pairs": count}
