"""Cityscapes-VPS beside the Cityscapes files that it needs."""

from data_prep.cityscapes_vps.dataset import Dataset

__all__ = ["Dataset"]
