"""What self-training and dars share: labels that another network wrote beforehand, and the term that they teach by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ifrkit.core.bounds import NotNegative
from ifrkit.core.config import ByInput
from ifrkit.core.records import IGNORE
from ifrkit.methods import base
from ifrkit.models.losses import Mean, cross_entropy, upsample

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

KIND = "pseudo-labels"
"""Of the artifact that the labels come from."""


class Offline(base.Method):
    """One term: cross entropy with a written label. Subclasses define the views: the first has it, the last is seen."""

    class Config(base.Method.Config):
        """Where the labels are, and what they weigh."""

        labels: Annotated[str, ByInput()] = KIND
        """Where none comes through the pipe: a path, an id, or "pseudo-labels" for the newest of the workspace."""
        weight: NotNegative = 1.0
        mean: Mean = "all"
        """Mean over all pixels, or over those that kept their label."""

        def artifacts(self) -> dict[str, str]:
            return {KIND: self.labels} if self.weight else {}

    config: Config
    OFF = {"weight": 0.0}

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """weight * CE(network(view), pseudo label)."""
        views = [view.name for view in self.views()]
        label_bhw = batch.labels[views[0]]
        base.guess(batch, views[0], label_bhw, label_bhw != IGNORE)
        f_bchw = base.encode(network, batch, features, views[-1])
        logits_bkhw = upsample(network.classify(f_bchw), network.stride, label_bhw.shape[-2:])
        loss = cross_entropy(logits_bkhw, label_bhw, self.config.mean, batch.pseudo_weights)
        return {"pseudo": self.config.weight * loss}
