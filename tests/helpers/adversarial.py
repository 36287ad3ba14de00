"""A small network with one adversarial method, a batch for it, and a comparison of gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ifrkit.config.network import NetworkConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.plugins import load
from ifrkit.data.loading.batch import Batch
from ifrkit.methods._adversarial import Adversarial
from ifrkit.models.network import build_network
from ifrkit.train.stage_one import BranchLosses

CLASSES = 3


def losses(name: str, size: tuple[int, int] = (64, 96), **options: Any) -> tuple[BranchLosses, Adversarial, Batch]:
    """Everything without dropout, so that a second pass sees the same; a few labels are ignored.

    Weights are larger than those of a start, so that answers and predictions differ from place to place.
    """
    kind = load("methods", name)
    method: Adversarial = kind(kind.Config(**{"channels": 4, **options}))
    network = build_network(NetworkConfig(width=0.125, dropout=0.0), CLASSES, seed=1)
    module = BranchLosses(network, {name: method}, TrainBranchesConfig()).train()
    for part in method.discriminator.modules():
        if isinstance(part, nn.Dropout2d):
            part.p = 0.0
    with torch.no_grad():
        network.decode_head.conv_seg.weight *= 20
        for weight in method.discriminator.parameters():
            weight *= 2
    rng = torch.Generator().manual_seed(0)
    images = {view: torch.randn(2, 3, *size, generator=rng) for view in ("v0_0", "v1_0")}
    label_bhw = torch.randint(CLASSES, (2, *size), generator=rng)
    label_bhw[:, :7] = 255
    return module, method, Batch(images, {"v0_0": label_bhw})


def gradients(module: nn.Module) -> dict[str, Tensor | None]:
    """Copies of what lies in `.grad`."""
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


def backward(terms: dict[str, Tensor]) -> None:
    """One backward pass of the sum."""
    torch.autograd.backward(torch.stack(list(terms.values())).sum())


def assert_close(found: dict[str, Tensor | None], wanted: dict[str, Tensor | None]) -> None:
    """Both dictionaries hold gradients of every parameter, and the same ones."""
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        mine = found[name]
        assert mine is not None, name
        assert gradient is not None, name
        scale = float(gradient.abs().max())
        assert scale > 0, name
        torch.testing.assert_close(mine, gradient, rtol=1e-4, atol=1e-4 * scale, msg=name)
