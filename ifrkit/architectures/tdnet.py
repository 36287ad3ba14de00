"""TDNet (Hu et al., CVPR 2020): frames take turns through four sub-networks, and attention hands on what they saw."""

from __future__ import annotations

from ifrkit.architectures import base


class Architecture(base.Architecture):
    """The update branch begins every sub-network, the reference branch teaches."""

    branches = ("reference", "update")
    model = "ifrkit.architectures._tdnet:VideoModel"
