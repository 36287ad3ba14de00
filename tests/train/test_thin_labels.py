"""Training says when few of the labeled frames' pixels have a class and the loss divides by all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from ifrkit.data.store.clips import ClipStore
from ifrkit.models.losses import cross_entropy
from ifrkit.train.branches import thinly_labeled


def said(histogram: tuple[int, ...], ce_mean: str) -> str:
    store = cast(ClipStore, SimpleNamespace(index=SimpleNamespace(histogram={"train": histogram})))
    return thinly_labeled(store, cast(Any, SimpleNamespace(ce_mean=ce_mean)))


def test_it_says_what_to_set() -> None:
    assert said((5, 5, 990), "all").startswith("1% of the labeled frames' pixels have a class")
    assert said((5, 5, 990), "all").endswith("--set ce_mean=valid takes the mean over those that have one")
    assert said((5, 5, 990), "valid") == ""
    assert said((500, 300, 200), "all") == ""


def test_the_mean_over_labeled_pixels_is_that_of_whole_labels() -> None:
    """Where the known pixels are a fair sample, as here all alike, 1% of them gives the same loss."""
    logits = torch.tensor([2.0, -1.0])[None, :, None, None].expand(1, 2, 10, 10).contiguous()
    whole = torch.ones(1, 10, 10, dtype=torch.long)
    part = torch.full_like(whole, 255)
    part[0, 3, 4] = 1
    assert cross_entropy(logits, part, "valid") == pytest.approx(float(cross_entropy(logits, whole, "valid")))
    assert cross_entropy(logits, part, "all") == pytest.approx(float(cross_entropy(logits, whole, "all")) / 100)
