"""DAVSS (Zhuang et al., 2020): carried scores, replaced by a light network's where the warp went wrong."""

from __future__ import annotations

from ifrkit.architectures import base
from ifrkit.models.norm_rules import require_values


class Architecture(base.Architecture):
    """Without an update branch."""

    model = "ifrkit.architectures._davss:VideoModel"

    @classmethod
    def require_pass(cls, images: int, crop: tuple[int, int]) -> None:
        require_values(images, crop)
