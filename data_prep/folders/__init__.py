"""The user's own frames, videos and labels. `predict` finds videos as this dataset does, without the rest of it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_prep.folders.dataset import Dataset

__all__ = ["Dataset"]


def __getattr__(name: str) -> Any:
    if name == "Dataset":
        from data_prep.folders.dataset import Dataset

        return Dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
