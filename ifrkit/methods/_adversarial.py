"""What advsemi and s4gan share: a discriminator with an Adam of its own, trained in the same backward pass.

The released codes train in turns: the network against a frozen discriminator, then the discriminator on predictions
from before the network's step. One pass does the same. The network's terms see the discriminator's weights as
constants (`frozen`), the discriminator's term sees the predictions as constants (`detach`), so that each gets the
gradient of its own terms alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifrkit.core.bounds import Natural, Positive
from ifrkit.core.keyed import key_seed
from ifrkit.core.lazy import F, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.core.records import IGNORE
from ifrkit.data.loading.views import RANDOM, View
from ifrkit.methods import base
from ifrkit.models import parts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.models.network import Network

BETAS = (0.9, 0.99)
"""Adam's, in both released codes."""


class Adversarial(base.Method):
    """Builds the discriminator and its optimizer. Subclasses define its kind and the terms."""

    class Config(base.Method.Config):
        """Options of the discriminator."""

        lr: Positive = 1e-4
        """Of the discriminator's Adam; falls to 0 like the network's."""
        channels: Natural = 64
        """Of the discriminator's first layer; small networks want a small one."""

    config: Config
    discriminator: nn.Module

    def views(self) -> list[View]:
        return [View("v1_0", "unlabeled", RANDOM)]

    def make(self, num_classes: int) -> nn.Module:
        """The discriminator, of `config.channels`."""
        raise NotImplementedError

    def build(self, network: Network) -> nn.Module | None:
        with parts.seeded(key_seed(network.seed, "discriminator")):
            self.discriminator = self.make(network.num_classes)
        return self.discriminator

    def optimizer(self) -> torch.optim.Optimizer | None:
        return torch.optim.Adam(self.discriminator.parameters(), self.config.lr, BETAS)


def frozen(module: nn.Module, *inputs: Tensor) -> Any:
    """`module(*inputs)` with its parameters as constants: gradients go to the inputs and to nothing else."""
    constants = {name: p.detach() for name, p in module.named_parameters()}
    return torch.func.functional_call(module, constants, inputs)


def one_hot(label_bhw: Tensor, num_classes: int) -> Tensor:
    """(b, k, h, w) float32; all 0 where the label is 255 or no class."""
    classes_k11 = torch.arange(num_classes, device=label_bhw.device)[:, None, None]
    return (label_bhw[:, None] == classes_k11).float()


def known(label_bhw: Tensor) -> Tensor:
    """Bool map of the pixels that are not ignored."""
    return label_bhw != IGNORE


def called(is_label: bool, logits: Tensor, counts: Tensor | None = None) -> Tensor:
    """Binary cross entropy of a discriminator's logits with this answer; the mean over what counts, 0 if nothing does.

    counts: bool, of the shape of the logits; None: all.
    """
    logits = at_least_float32(logits)
    wanted = torch.full_like(logits, float(is_label))
    bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    if counts is None:
        return bce.mean()
    return (bce * counts).sum() / counts.sum().clamp(min=1)
