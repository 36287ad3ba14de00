"""What stage one minimises: the supervised loss of the labeled frame and the terms of the methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ifrkit.data.loading.batch import Batch, Guess
from ifrkit.methods.base import Method
from ifrkit.models.losses import Mean, cross_entropy, upsample
from ifrkit.models.network import Network


def _ignore(method: str, guesses: Mapping[str, Guess]) -> None:
    pass


class BranchLosses(nn.Module):
    """The network with its methods: the supervised term and theirs, Eqs. (1) and (2).

    hear: is told what each method took for the labels of its views, by view.
    """

    def __init__(
        self,
        network: Network,
        methods: Mapping[str, Method],
        ce_mean: Mean,
        hear: Callable[[str, Mapping[str, Guess]], None] = _ignore,
    ) -> None:
        super().__init__()
        self.network, self.methods, self.ce_mean, self.hear = network, dict(methods), ce_mean, hear
        built = {name: method.build(network) for name, method in methods.items()}
        self.extra = nn.ModuleDict({name: module for name, module in built.items() if module is not None})
        self.first_pass = ["v0_0", *dict.fromkeys(view for m in methods.values() for view in m.joint_views())]
        self.pace = 1.0
        """The methods' schedules count so many steps for each step of training."""

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted scalar terms: "sup", and "METHOD.TERM" of each method."""
        images = [batch.views[name] for name in self.first_pass]
        maps = self.network.features(torch.cat(images)).chunk(len(images))
        features = dict(zip(self.first_pass, maps, strict=True))
        label_bhw = batch.labels["v0_0"]
        logits_bkhw = upsample(self.network.classify(features["v0_0"]), label_bhw.shape[-2:])
        terms = {"sup": cross_entropy(logits_bkhw, label_bhw, self.ce_mean)}  # Eq. (1)
        for name, method in self.methods.items():
            own = replace(batch, guesses={})
            losses = method.losses(self.network, own, features, int(step * self.pace))
            terms |= {f"{name}.{term}": loss for term, loss in losses.items()}  # Eq. (2)
            batch.guesses |= own.guesses
            self.hear(name, own.guesses)
        return terms
