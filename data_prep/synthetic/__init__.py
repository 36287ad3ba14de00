"""The synthetic street: drawn, with exact labels and flow."""

from data_prep.synthetic.dataset import Dataset

__all__ = ["Dataset"]
