"""mVC8: video consistency over windows of 8 frames."""

from __future__ import annotations

from ifrkit.metrics._vc import VideoConsistency


class Metric(VideoConsistency):
    """Share of label-constant pixels whose prediction is constant through 8 frames."""

    window = 8
    headline = "mvc8"
    title = "mVC8"
