"""mVC_C, video consistency (Miao et al., CVPR 2021): of the pixels whose label stays the same through a window of C
frames, the share whose prediction stays the same. A prediction need not be right, only constant.
"""

from __future__ import annotations

from typing import Any, ClassVar

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np

SCALE = 1 << 40
"""A window's value is summed in 2^-40 steps, so that shards add up exactly in any order."""


class VideoConsistency(base.Metric):
    """Mean over all windows of all clips. The official code drops the last window of each clip; `every` keeps it."""

    protocol = "stream"
    needs = frozenset({"dense-labels"})
    window: ClassVar[int]

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {"sum": np.zeros(2, np.int64), "windows": np.zeros(2, np.int64)}

    def update(self, clip: base.ClipResult) -> None:
        indices = sorted(set(clip.labels) & set(clip.predictions))
        last = len(indices) - self.window
        for start in range(last + 1):
            run = indices[start : start + self.window]
            if run[-1] - run[0] != self.window - 1:  # labels are missing inside
                continue
            still = np.logical_and.reduce([clip.labels[i] == clip.labels[run[0]] for i in run])
            same = np.logical_and.reduce([clip.predictions[i] == clip.predictions[run[0]] for i in run])
            if still.any():
                value = round(int((still & same).sum()) / int(still.sum()) * SCALE)
                counted = np.array([start < last, True])
                self.counts["sum"] += value * counted
                self.counts["windows"] += counted

    def compute(self) -> dict[str, Any]:
        (official, every), (n, m) = self.counts["sum"].tolist(), self.counts["windows"].tolist()
        return {
            self.headline: official / SCALE / n if n else None,
            "every_window": every / SCALE / m if m else None,
            "windows": n,
        }
