"""Optimizers and schedules of stage one."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ifrkit.config.train_branches import AdamWConfig, TrainBranchesConfig
from ifrkit.train.layerwise import by_depth

_SLOW = {"backbone", "slow"}


def branch_optimizer(
    module: nn.Module, config: TrainBranchesConfig, beside: Iterable[torch.optim.Optimizer] = ()
) -> torch.optim.Optimizer:
    """Two groups: parameters of any `backbone` or `slow` part, and all others (heads, modules of methods), all decayed.

    With `layer_decay` the first one is several, one for each depth (ifrkit/train/layerwise.py).
    What an optimizer `beside` it trains is left out.
    """
    taken = {id(p) for optimizer in beside for group in optimizer.param_groups for p in group["params"]}
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad and id(p) not in taken]
    slow = [p for name, p in named if _SLOW & {*name.split(".")}]
    others = [p for name, p in named if not _SLOW & {*name.split(".")}]
    rates = config.adamw or config.sgd
    backbones = by_depth(module, {"params": slow, "lr": rates.lr_backbone}, rates.layer_decay)
    groups = [*backbones, {"params": others, "lr": rates.lr_head}]
    if isinstance(rates, AdamWConfig):
        return torch.optim.AdamW(groups, weight_decay=rates.weight_decay, fused=True)
    return torch.optim.SGD(groups, momentum=rates.momentum, weight_decay=rates.weight_decay)


def warm(step: int, length: int) -> float:
    """What a rate is multiplied by at a step (0 is the first): grows to 1 over so many steps."""
    return min(1.0, (step + 1) / length) if length else 1.0


def poly(base: float, minimum: float, power: float, step: int, steps: int) -> float:
    """Learning rate at a step (0 is the first of `steps`): falls from `base` towards `minimum`."""
    share: float = (1 - step / steps) ** power
    return (base - minimum) * share + minimum
