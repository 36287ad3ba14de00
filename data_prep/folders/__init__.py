"""The user's own frames, videos and labels."""

from data_prep.folders.dataset import Dataset

__all__ = ["Dataset"]
