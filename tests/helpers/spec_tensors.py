"""Deterministic tensors of the numeric fixtures: sums of sines over the flat index, in float64, then float32."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def wave(s: float, shape: tuple[int, ...]) -> Tensor:
    """T(s, shape)."""
    i = np.arange(np.prod(shape), dtype=np.float64)
    values = 1.2 * np.sin(0.05 * i + s) + 0.8 * np.cos(0.0031 * i * (s + 1))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def weights(s: float, shape: tuple[int, ...], scale: float) -> Tensor:
    """W(s, shape, scale)."""
    i = np.arange(np.prod(shape), dtype=np.float64)
    return torch.from_numpy((scale * np.sin(1.7 * i + 0.31 * s)).astype(np.float32).reshape(shape))


def logits(s: float, shape: tuple[int, ...]) -> Tensor:
    """X(s, shape)."""
    i = np.arange(np.prod(shape), dtype=np.float64)
    tail = 1.2 * np.sin(0.05 * i + s) + 0.8 * np.cos(0.0031 * i * (s + 1))
    values = 2 * np.sin(1.7 * i + 0.31 * s) + 0.5 * tail
    return torch.from_numpy(values.astype(np.float32).reshape(shape))
