"""The mean teacher (Tarvainen and Valpola, NeurIPS 2017): a copy of the network that follows it slowly."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32
from ifrkit.models.network import Network


class Teacher(nn.Module):
    """Exponential moving average of a network: parameters and batch statistics. Always in eval mode, never trained.

    warm: decay min(1 - 1 / (t + 1), decay), so the first update makes it equal to the student (FixMatch, ClassMix).
    """

    def __init__(self, network: Network, decay: float, warm: bool) -> None:
        super().__init__()
        self.network: Network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay, self.warm = decay, warm

    def train(self, mode: bool = True) -> Teacher:
        """Stays in eval mode: its predictions need no dropout, and its statistics are averages already."""
        return super().train(False)

    @torch.no_grad()
    def follow(self, network: Network, step: int) -> None:
        """After the optimizer's step; 0 is the first."""
        decay = min(1 - 1 / (step + 1), self.decay) if self.warm else self.decay
        student = network.state_dict()
        for name, mine in self.network.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(student[name], 1 - decay)
            else:
                mine.copy_(student[name])

    @torch.no_grad()
    def logits(self, images_b3hw: Tensor, seen_by: Network) -> Tensor:
        """(b, k, h, w), at the size of the images, which are normalised as `seen_by` wants them."""
        own = self.network
        if own.normalisation != seen_by.normalisation:
            images_b3hw = own.normalise(seen_by.denormalise(images_b3hw).round().clamp(0, 255).to(torch.uint8))
        logits_bkhw: Tensor = own(images_b3hw)
        return logits_bkhw

    @torch.no_grad()
    def probabilities(self, images_b3hw: Tensor) -> Tensor:
        """(b, k, h, w), at least float32, at the size of the images."""
        probabilities_bkhw: Tensor = at_least_float32(self.network(images_b3hw)).softmax(1)
        return probabilities_bkhw
