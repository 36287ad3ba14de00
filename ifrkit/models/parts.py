"""The modules that methods build, each imported when it is first used: `parts.Teacher(network, ...)`.

A method's file holds its configuration too, and that is checked before torch is wanted (see `ifrkit.core.lazy`). So it
imports this at its top instead of the modules themselves.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifrkit.models.cct_decoders import PERTURBATIONS as PERTURBATIONS
    from ifrkit.models.cct_decoders import Decoder as Decoder
    from ifrkit.models.cct_decoders import adversarial as adversarial
    from ifrkit.models.class_maps import ClassMaps as ClassMaps
    from ifrkit.models.class_maps import presence_loss as presence_loss
    from ifrkit.models.discriminators import ImageDiscriminator as ImageDiscriminator
    from ifrkit.models.discriminators import PixelDiscriminator as PixelDiscriminator
    from ifrkit.models.layers import seeded as seeded
    from ifrkit.models.network import sibling as sibling
    from ifrkit.models.teacher import Teacher as Teacher
    from ifrkit.models.warp import warp as warp

_HOMES = {
    "PERTURBATIONS": "cct_decoders",
    "Decoder": "cct_decoders",
    "adversarial": "cct_decoders",
    "ClassMaps": "class_maps",
    "presence_loss": "class_maps",
    "ImageDiscriminator": "discriminators",
    "PixelDiscriminator": "discriminators",
    "seeded": "layers",
    "sibling": "network",
    "Teacher": "teacher",
    "warp": "warp",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"ifrkit.models.{_HOMES[name]}"), name)
