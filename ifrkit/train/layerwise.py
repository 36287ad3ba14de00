"""Layer-wise decay of the learning rate: the nearer a stage of a backbone is to the image, the slower it learns.

Bao et al., *BEiT*, ICLR 2022. The last stage has the whole rate of the backbone, the one before it `decay` of that, and
so on; the stem, the first stage, has the least. What a `slow` module of a method holds has the whole rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ifrkit.models.trunk import Trunk

Group = dict[str, Any]
_SHARE = "share"


def by_depth(module: nn.Module, slow: Group, decay: float) -> list[Group]:
    """The group of all backbones as one group a depth, the deepest first; as it is where nothing decays."""
    if decay == 1:
        return [slow]
    below = _below_the_last(module)
    depths = sorted({below.get(id(p), 0) for p in slow["params"]})
    return [
        {
            "params": [p for p in slow["params"] if below.get(id(p), 0) == depth],
            "lr": slow["lr"] * decay**depth,
            _SHARE: decay**depth,
        }
        for depth in depths
    ]


def shares(optimizer: torch.optim.Optimizer) -> list[float]:
    """What part of `lr_backbone` each group of backbones has; the last group of all is that of the heads."""
    return [group.get(_SHARE, 1.0) for group in optimizer.param_groups[:-1]]


def _below_the_last(module: nn.Module) -> Mapping[int, int]:
    """How many stages come after that of each parameter, by its id()."""
    found: dict[int, int] = {}
    for trunk in module.modules():
        if isinstance(trunk, Trunk):
            last = len(trunk.parts()) - 1
            found |= {key: last - depth for key, depth in trunk.depths().items()}
    return found
