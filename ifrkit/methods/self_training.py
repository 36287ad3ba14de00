"""Offline self-training: a fresh network learns from labels and from another network's hard labels, half and half.

    ifrkit train-branches --ssl none | ifrkit pseudo-label | ifrkit train-branches --ssl self-training

Another round: pipe it into `pseudo-label` and `train-branches --ssl self-training` again.

The scheme of Naive-Student (Chen et al., ECCV 2020) and ST (Yang et al., CVPR 2022): hard labels of every frame, no
threshold unless asked for, distortion on pseudo-labeled images only. A label of the dataset is never replaced: a
frame that may show its own label is taught with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ifrkit.core.config import ByInput
from ifrkit.core.records import IGNORE, Label, Window
from ifrkit.data.loading.views import Copy, Random, Reading, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.methods.fixmatch import JITTER
from ifrkit.models.losses import Mean, cross_entropy, upsample

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

KIND = "pseudo-labels"
"""Of the artifact that the labels come from."""


@dataclass(frozen=True)
class PseudoLabeled(Random):
    """Any frame, with its label of the pseudo-labels artifact; 255 where the confidence is below the threshold."""

    threshold: float

    def label(self, reading: Reading, frame: int, window: Window) -> Label | None:
        source = reading.sources.get(KIND)
        return None if source is None else source.label(reading.clip, frame, window, self.threshold)


class Method(base.Method):
    """One term: cross entropy of a frame of an unlabeled clip with its pseudo label."""

    class Config(base.Method.Config):
        """Defaults of ST, at the geometry of the common protocol."""

        labels: Annotated[str, ByInput()] = KIND
        """Where none comes through the pipe: a path, an id, or "pseudo-labels" for the newest of the workspace."""
        weight: float = Field(1.0, ge=0)
        threshold: float = Field(0.0, ge=0, le=1)
        """Pixels with less confidence are ignored."""
        distort: bool = True
        """Jitter the colours of pseudo-labeled frames, turn them gray or blur them, as ST does."""
        mean: Mean = "all"
        """With a threshold: mean over all pixels, or over those that passed."""

        def artifacts(self) -> dict[str, str]:
            return {KIND: self.labels} if self.weight else {}

    config: Config
    OFF = {"weight": 0.0}

    def views(self) -> list[View]:
        plain = View("pseudo", "unlabeled", PseudoLabeled(self.config.threshold))
        copy = View("pseudo_s", "unlabeled", Copy("pseudo", Jitter(*JITTER)))
        return [plain, copy] if self.config.distort else [plain]

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """weight * CE(network(view), pseudo label)."""
        f_bchw = base.encode(network, batch, features, "pseudo_s" if self.config.distort else "pseudo")
        label_bhw = batch.labels["pseudo"]
        base.guess(batch, "pseudo", label_bhw, label_bhw != IGNORE)
        logits_bkhw = upsample(network.classify(f_bchw), label_bhw.shape[-2:])
        return {
            "pseudo": self.config.weight * cross_entropy(logits_bkhw, label_bhw, self.config.mean, batch.class_weights)
        }
