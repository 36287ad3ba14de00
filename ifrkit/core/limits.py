"""Limits on what is read: a small file may claim, or unfold to, more than any machine holds.

Each is far above real data. Where yours is larger, an environment variable raises it: IFRKIT_MAX_MEGAPIXELS=400.
"""

from __future__ import annotations

import os

from ifrkit.core.errors import ConfigError

_DEFAULTS = {
    "MEGAPIXELS": 64,  # of an image; 8K video has 33
    "FILE_MIB": 256,  # of one file of a label export
    "EXPORT_GIB": 8,  # of all files in an archive together
    "POINTS": 250_000,  # of all polygons of a label
    "SHAPES": 20_000,  # of a label
    "WEIGHTS_MIB": 2048,  # of a file of weights, unpacked; a ResNet-101 has 170
    "TENSORS": 50_000,  # of a file of weights: each takes a Python object, however empty it is
}


def limit(name: str) -> int:
    """The limit of this name. Raises ConfigError for a variable that is not a whole number above 0."""
    written = os.environ.get(variable(name))
    if written is None:
        return _DEFAULTS[name]
    if not written.isdecimal() or int(written) < 1:
        raise ConfigError(f"{variable(name)}={written!r} is not a whole number above 0", "correct or unset it")
    return int(written)


def variable(name: str) -> str:
    """The environment variable that sets it."""
    return f"IFRKIT_MAX_{name}"


def raised(name: str) -> str:
    """What to do where it is too small."""
    return f"set {variable(name)} higher if it is yours and right"
