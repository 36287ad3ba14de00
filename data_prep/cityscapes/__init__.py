"""Cityscapes as downloaded."""

from data_prep.cityscapes.dataset import Dataset

__all__ = ["Dataset"]
