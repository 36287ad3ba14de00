"""Image passes: what a training step costs, on whatever machine. Counted, not declared."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from torch import Tensor, nn

from ifrkit.data.loading.batch import Batch
from ifrkit.models.layers import seeded
from ifrkit.models.network import Network


class Passes(NamedTuple):
    """Images through a network for each labeled image of a step: forward and backward, and forward only."""

    trained: float
    plain: float

    @property
    def cost(self) -> float:
        """In supervised steps, when a backward pass costs two forward passes."""
        return self.trained + self.plain / 3

    def __str__(self) -> str:
        plain = f" + {self.plain:g} F" if self.plain else ""
        return f"{self.trained:g} FB{plain}"


def count_passes(module: nn.Module, batch: Batch) -> Passes:
    """Of one step of `BranchLosses`, on a copy: batch statistics and random state are left alone."""
    counts = {True: 0, False: 0}

    def count(backbone: nn.Module, images: tuple[Any, ...], maps: list[Tensor]) -> None:
        counts[maps[-1].requires_grad] += len(images[0])

    probe = copy.deepcopy(module).train()
    for backbone in {part.backbone for part in probe.modules() if isinstance(part, Network)}:
        backbone.register_forward_hook(count)
    with seeded(0):
        probe(batch, 10**9)  # after every ramp-up and late start
    labeled = len(batch.labels["v0_0"])
    return Passes(counts[True] / labeled, counts[False] / labeled)
