"""The clip store and what lies beside it: HDF5 files that are written once and then only read."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore as ClipStore

__all__ = ["ClipStore"]


def __getattr__(name: str) -> Any:
    """`ClipStore`, imported when it is first asked for: h5py takes its time."""
    if name in __all__:
        return getattr(importlib.import_module("ifrkit.data.store.clips"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
