"""FixMatch for segmentation: a confident hard label of the weak view teaches the strong view.

Sohn et al., NeurIPS 2020, in the form of UniMatch V2 (Yang et al., TPAMI 2025): a mean teacher labels the weak view;
the student sees its colours jittered and a box of another clip pasted in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from ifrkit.core.bounds import NotNegative, Share
from ifrkit.data.loading.views import RANDOM, Copy, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.methods._mean_teacher import MeanTeacher, confident_cross_entropy
from ifrkit.methods._mixing import box_or_none, mix, partners
from ifrkit.models.losses import upsample

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

JITTER = (0.5, 0.5, 0.5, 0.25)
"""Brightness, contrast, saturation, hue of FixMatch, UniMatch and ST++."""


class Method(MeanTeacher):
    """One term, on one strong view of an unlabeled frame."""

    class Config(MeanTeacher.Config):
        """Constants of UniMatch V2's FixMatch. Its halved total is written out: the supervised weight is 1."""

        decay: Annotated[float, Meta(ge=0, lt=1)] = 0.996
        threshold: NotNegative = 0.95
        """Least confidence of a label that counts."""
        cutmix: Share = 0.5
        """Probability that a box of another clip is pasted in."""

    config: Config
    OPEN = {"threshold": 0.0}

    def views(self) -> list[View]:
        return [View("v1_0", "unlabeled", RANDOM), View("v1_0_j", "unlabeled", Copy("v1_0", Jitter(*JITTER)))]

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """L_u, Eq. (4): weight * CE(student(mixed strong view), equally mixed label of the teacher)."""
        c = self.config
        strong_b3hw = batch.views["v1_0_j"]
        b, _, h, w = strong_b3hw.shape
        confidence_bhw, label_bhw = self.teacher.probabilities(batch.views["v1_0"]).max(1)
        base.guess(batch, "v1_0", label_bhw, confidence_bhw >= c.threshold)
        order, mask_bhw = partners(batch.clips["unlabeled"]), box_or_none((h, w), b, c.cutmix).to(strong_b3hw.device)
        seen, label_bhw, confidence_bhw = (mix(x, x[order], mask_bhw) for x in (strong_b3hw, label_bhw, confidence_bhw))
        logits_bkhw = upsample(network.classify(network.features(seen)), network.stride, (h, w))
        return {
            "strong": c.weight
            * confident_cross_entropy(logits_bkhw, label_bhw, confidence_bhw, c.threshold, batch.pseudo_weights)
        }
