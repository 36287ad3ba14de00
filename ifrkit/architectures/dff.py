"""Deep feature flow (Zhu et al., CVPR 2017): one direct flow takes the scores of the key frame to every later frame."""

from __future__ import annotations

from ifrkit.architectures import base


class Architecture(base.Architecture):
    """Without an update branch."""

    model = "ifrkit.architectures._dff:VideoModel"
