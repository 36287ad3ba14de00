"""Optimizers and schedules of stage one."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ifrkit.config.train_branches import SGDConfig
from ifrkit.train.layerwise import by_depth

_SLOW = {"backbone", "slow"}


def branch_sgd(module: nn.Module, config: SGDConfig, beside: Iterable[torch.optim.Optimizer] = ()) -> torch.optim.SGD:
    """Two groups: parameters of any `backbone` or `slow` part, and all others (heads, modules of methods), all decayed.

    With `layer_decay` the first one is several, one for each depth (ifrkit/train/layerwise.py).
    What an optimizer `beside` it trains is left out.
    """
    taken = {id(p) for optimizer in beside for group in optimizer.param_groups for p in group["params"]}
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad and id(p) not in taken]
    slow = [p for name, p in named if _SLOW & {*name.split(".")}]
    others = [p for name, p in named if not _SLOW & {*name.split(".")}]
    backbones = by_depth(module, {"params": slow, "lr": config.lr_backbone}, config.layer_decay)
    groups = [*backbones, {"params": others, "lr": config.lr_head}]
    return torch.optim.SGD(groups, momentum=config.momentum, weight_decay=config.weight_decay)


def poly(base: float, minimum: float, power: float, step: int, steps: int) -> float:
    """Learning rate at a step (0 is the first of `steps`): falls from `base` towards `minimum`."""
    share: float = (1 - step / steps) ** power
    return (base - minimum) * share + minimum
