"""Losses are at least float32: half precision is lifted, and double precision stays, for tests compare in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ifrkit.artifacts.store import Artifact
from ifrkit.core.plugins import load, names
from ifrkit.core.precision import at_least_float32
from ifrkit.testing.methods import terms_of, toy_task


def test_only_half_precision_is_changed() -> None:
    for wide in (torch.float32, torch.float64):
        x = torch.ones(3, dtype=wide)
        assert at_least_float32(x) is x
    for narrow in (torch.float16, torch.bfloat16):
        assert at_least_float32(torch.ones(3, dtype=narrow)).dtype == torch.float32


@pytest.mark.parametrize("ssl", names("methods"))
def test_a_step_in_double_precision_stays_in_it(clips: Artifact, ssl: str) -> None:
    """A cast to float32 on the way would make a term float32, or a layer refuse it."""
    options = {**load("methods", ssl).OPEN, **({"things": [4, 5, 6, 7]} if ssl == "cct" else {})}
    task = toy_task(ssl, clips, method={ssl: options})
    task.module.double()
    batch = task.to_device(next(iter(task.batches(0, 1))))
    terms = terms_of(task, replace(batch, views={name: view.double() for name, view in batch.views.items()}))
    assert {name: term.dtype for name, term in terms.items()} == dict.fromkeys(terms, torch.float64)
    torch.autograd.backward(torch.stack(list(terms.values())).sum())
    assert all(p.grad is not None for p in task.network.parameters())
