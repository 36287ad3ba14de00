"""CamVid in both of its public layouts."""

from data_prep.camvid.dataset import Dataset

__all__ = ["Dataset"]
