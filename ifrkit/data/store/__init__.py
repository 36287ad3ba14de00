"""The clip store and what lies beside it: HDF5 files that are written once and then only read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifrkit.core.lazy import lazy

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore as ClipStore

__all__ = ["ClipStore"]


def __getattr__(name: str) -> Any:
    """`ClipStore` when it is first asked for: most that import from here need no HDF5."""
    if name in __all__:
        return getattr(lazy("ifrkit.data.store.clips"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
