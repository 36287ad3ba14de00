"""What all files of a clip store have in common. Light: the index of a store is read without HDF5."""

from __future__ import annotations

from typing import NamedTuple

REMAKE = "run prepare again with --force, or copy the artifact again"
"""The remedy for a file that is not as it was written."""


class Layout(NamedTuple):
    """size: (height, width); codec: raw, png or jpeg; classes: how many."""

    size: tuple[int, int]
    codec: str
    has_flow: bool
    classes: int
