"""Deterministic weights, inputs and labels of the numeric fixtures (facts about the released code, section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def _entry(key: str, shape: tuple[int, ...], classifier: bool) -> Tensor:
    length, i = len(key), np.arange(int(np.prod(shape)), dtype=np.float64)
    w = (np.sin(1.7 * i + 0.31 * length) + np.sin(0.013 * ((i * i) % 9973) + 0.7 * length)).reshape(shape)
    if key.endswith(("running_mean", "bias")):
        w = 0.1 * w
    elif key.endswith("running_var"):
        w = 1 + 0.25 * np.abs(w)
    elif classifier:
        w = 0.05 * w
    elif len(shape) == 4:
        w = w * np.sqrt(2 / np.prod(shape[1:]))
    else:
        w = 1 + 0.1 * w
    return torch.from_numpy(w.astype(np.float32))


def official_state(module_or_shapes: nn.Module | Mapping[str, tuple[int, ...]], prefix: str = "") -> dict[str, Tensor]:
    """The fixture state of a module (or of {key: shape}); the rule counts the letters of prefix + key.

    `num_batches_tracked` is left out: it stays as it is.
    """
    if isinstance(module_or_shapes, nn.Module):
        shapes = {k: tuple(v.shape) for k, v in module_or_shapes.state_dict().items()}
    else:
        shapes = dict(module_or_shapes)
    return {
        key: _entry(prefix + key, tuple(shape), "conv_seg" in prefix + key)
        for key, shape in shapes.items()
        if not key.endswith("num_batches_tracked")
    }


def load_official(module: nn.Module, prefix: str = "") -> nn.Module:
    """Put the fixture state into the module and return it."""
    missing, unexpected = module.load_state_dict(official_state(module, prefix), strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    return module


def official_input(seed: int, shape: tuple[int, ...]) -> Tensor:
    """The fixture input: float32 of this shape."""
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    x = 1.2 * np.sin(0.05 * i + seed) + 0.8 * np.cos(0.0031 * i * (seed + 1))
    return torch.from_numpy(x.astype(np.float32).reshape(shape))


def official_label(shape: tuple[int, ...]) -> Tensor:
    """The fixture label: int64 of this shape, 19 classes, 255 = ignore."""
    i = np.arange(int(np.prod(shape)))
    return torch.from_numpy(np.where(i % 11 == 0, 255, (i // 7) % 19).reshape(shape))


class Number(NamedTuple):
    """One number of a network in the fixture state, and how near it must come on any processor.

    Processors add float32 numbers in different orders, and a deep network makes that difference large. In float64 they
    agree: the numbers here came out equal to 1e-11 with and without vector instructions.
    """

    released: str
    """Of the released code, which computed in float32, with the digits that it printed."""
    exact: float
    """Ours in float64."""
    strays: float
    """How far ours is from `exact` in float32, relative: the most of several runs (20 of a step of resnet18, else 8)
    in which weights and inputs were moved by up to one unit in the last place."""

    def check(self, found: Tensor | float, dtype: torch.dtype = torch.float64) -> None:
        """Ours is `exact`, and the released number differs from it by no more than float32 explains."""
        assert float(found) == pytest.approx(self.exact, rel=1e-9 if dtype == torch.float64 else 3 * self.strays)
        half_a_digit = 0.5 * 10.0 ** int(Decimal(self.released).as_tuple().exponent)
        allowed = half_a_digit + 3 * self.strays * abs(self.exact)
        assert float(self.released) == pytest.approx(self.exact, rel=0, abs=allowed)
