"""mVC16: video consistency over windows of 16 frames."""

from __future__ import annotations

from ifrkit.metrics._vc import VideoConsistency


class Metric(VideoConsistency):
    """Share of label-constant pixels whose prediction is constant through 16 frames."""

    window = 16
    headline = "mvc16"
    title = "mVC16"
