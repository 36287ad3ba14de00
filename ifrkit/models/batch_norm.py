"""Batch norm whose statistics are those of a chosen group of images, the same in one process and over several ranks.

    sync      all images of a pass, on all ranks (nn.SyncBatchNorm of the released code, which has none for the CPU)
    N         N images after another; the running statistics follow the first group, that of the first rank
    frozen    none: the stored statistics stay, weight and bias learn

The released code of IFR trains on two GPUs with two images each: its heads and its ResNet-18 are `sync`, the backbone
of ResNet-101 is 2.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32
from ifrkit.models.norm_rules import Rule, one_image, uneven


class BatchNorm(nn.BatchNorm2d):
    """nn.BatchNorm2d with a rule; in eval mode, and with `sync` in one process, it is the same to the last bit."""

    rule: Rule = "sync"

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) of the same shape. Raises ConfigError for a pass that does not fit the groups."""
        if not self.training:
            return super().forward(x)
        if self.rule == "frozen":
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        if self.rule == "sync" and _ranks() > 1:
            return self._synced(x)
        size = len(x) if self.rule == "sync" else min(int(self.rule), len(x))
        if size * x[0, 0].numel() == 1:
            raise one_image()
        if len(x) % size:
            raise uneven(size, len(x))
        if size == len(x):
            return super().forward(x)
        first, *others = (x[start : start + size] for start in range(0, len(x), size))
        alone = (F.batch_norm(part, None, None, self.weight, self.bias, True, 0.0, self.eps) for part in others)
        return torch.cat([super().forward(first), *alone])

    def _synced(self, x: Tensor) -> Tensor:
        y, mean_c, var_c, count = _Synced.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_c.to(self.running_mean), self.momentum)
            self.running_var.lerp_((var_c * (count / (count - 1))).to(self.running_var), self.momentum)
        result: Tensor = y
        return result


class _Synced(torch.autograd.Function):
    """Normalises by the mean and the variance over all ranks; both directions exchange a few numbers a channel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_c: Tensor, bias_c: Tensor, eps: float) -> tuple[Tensor, ...]:
        """Also returns mean, biased variance, and how many values each is of."""
        var_c, mean_c = torch.var_mean(at_least_float32(x), (0, 2, 3), correction=0)
        own = x.numel() // x.shape[1]
        told = torch.stack([mean_c, var_c, torch.full_like(mean_c, own)]).double()
        gathered = [torch.empty_like(told) for _ in range(_ranks())]
        dist.all_gather(gathered, told)
        means_rc, vars_rc, counts_rc = torch.stack(gathered).unbind(1)
        total_c = counts_rc.sum(0)
        if total_c[0] == 1:
            raise one_image()
        common_c = (counts_rc * means_rc).sum(0) / total_c
        spread_c = (counts_rc * (vars_rc + (means_rc - common_c) ** 2)).sum(0) / total_c
        mean_c, var_c = common_c.to(mean_c.dtype), spread_c.to(mean_c.dtype)
        y = F.batch_norm(x, mean_c, var_c, weight_c, bias_c, False, 0.0, eps)
        ctx.save_for_backward(x, weight_c, mean_c, (var_c + eps).rsqrt(), total_c)
        ctx.mark_non_differentiable(mean_c, var_c, total_c)
        return y, mean_c, var_c, total_c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Of x, weight and bias. The sums in the gradient of x go over all ranks; DDP averages the other two."""
        x, weight_c, mean_c, scale_c, total_c = ctx.saved_tensors
        gradient = at_least_float32(gradients[0])
        flat = (at_least_float32(x) - mean_c[:, None, None]) * scale_c[:, None, None]
        own_2c = torch.stack([gradient.sum((0, 2, 3)), (gradient * flat).sum((0, 2, 3))])
        common_2c = own_2c.double()
        dist.all_reduce(common_2c)
        mean_2c11 = (common_2c / total_c).to(gradient.dtype)[:, :, None, None]
        inner = gradient - mean_2c11[0] - flat * mean_2c11[1]
        return (inner * (weight_c * scale_c)[:, None, None]).to(x.dtype), own_2c[1], own_2c[0], None


def set_rule(module: nn.Module, rule: Rule) -> nn.Module:
    """Give every 2-d batch norm inside a module this rule. Parameters, buffers and their names stay."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.__class__ = BatchNorm  # a subclass without state of its own but the rule
            layer.rule = rule  # type: ignore[assignment]
    return module


def _ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
