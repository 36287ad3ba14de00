"""Batch norms inside the convolutions before them: fewer operations in a graph, and what int8 needs."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def without_batch_norms(model: M, frame_b3hw: Tensor) -> M:
    """A copy in which each batch norm that reads a convolution is part of it.

    model: in eval mode, with `start` and `step`. Which ones do is seen while it predicts a frame twice. The convolution
    gets a bias; what else reads its output would change, which the comparison on real frames (`check.py`) would show.
    """
    model = copy.deepcopy(model)
    pairs = _pairs(model, frame_b3hw)
    for norm, convolution in pairs.items():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale_k = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        before_k = 0.0 if convolution.bias is None else convolution.bias.double()
        bias_k = norm.bias.double() + (before_k - norm.running_mean.double()) * scale_k
        weight = convolution.weight.double() * scale_k[:, None, None, None]
        convolution.weight, convolution.bias = (nn.Parameter(x.detach().float(), False) for x in (weight, bias_k))
    for module in list(model.modules()):
        for name, child in module.named_children():
            if child in pairs:
                setattr(module, name, nn.Identity())
    return model


def _pairs(model: Any, frame_b3hw: Tensor) -> dict[nn.BatchNorm2d, nn.Conv2d]:
    """Each batch norm with the convolution that it reads, where it always reads that one, and no other norm does."""
    made: list[tuple[Tensor, nn.Conv2d]] = []
    found: dict[nn.BatchNorm2d, list[nn.Conv2d | None]] = {}

    def after(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(module, nn.Conv2d):
            made.append((output, module))

    def before(module: nn.Module, inputs: Any) -> None:
        if isinstance(module, nn.BatchNorm2d):
            found.setdefault(module, []).append(next((conv for x, conv in made if x is inputs[0]), None))

    handles = [m.register_forward_hook(after) for m in model.modules()]
    handles += [m.register_forward_pre_hook(before) for m in model.modules()]
    with torch.no_grad():
        _, state = model.start(frame_b3hw)
        model.step(frame_b3hw, state)
    for handle in handles:
        handle.remove()
    one = {norm: convs[0] for norm, convs in found.items() if len(set(convs)) == 1 and norm.track_running_stats}
    taken = [conv for convs in found.values() for conv in set(convs)]
    return {norm: conv for norm, conv in one.items() if conv is not None and taken.count(conv) == 1 and norm.affine}
