"""Accel (Jain et al., CVPR 2019): flow carries the reference branch's scores, fused with those of the update branch."""

from __future__ import annotations

from ifrkit.architectures import base


class Architecture(base.Architecture):
    """As IFR's released code trains it."""

    branches = ("reference", "update")
    model = "ifrkit.architectures._accel:VideoModel"
