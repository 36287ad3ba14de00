"""What all files of a clip store have in common. Light: the index of a store is read without HDF5."""

from __future__ import annotations

from typing import NamedTuple

from ifrkit.core.errors import DatasetError

REMAKE = "run prepare again with --force, or copy the artifact again"
"""The remedy for a file that is not as it was written."""


class Layout(NamedTuple):
    """size: (height, width); codec: raw, png or jpeg; classes: how many."""

    size: tuple[int, int]
    codec: str
    has_flow: bool
    classes: int


def require_size(name: str, own: tuple[int, int], first: tuple[int, int]) -> None:
    """Raise DatasetError where a frame has not the (height, width) of the first one."""
    if own != first:
        fault = f"frame {name} has {own[1]}x{own[0]} pixels, the first frame {first[1]}x{first[0]}"
        raise DatasetError(fault, "store all at one size with --set size=[HEIGHT,WIDTH]")
