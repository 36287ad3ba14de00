"""ClassMix (Olsson et al., WACV 2021): half of the classes predicted in one image are pasted onto another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.core.bounds import NotNegative
from ifrkit.data.loading.views import RANDOM, Copy, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.methods._mean_teacher import MeanTeacher
from ifrkit.methods._mixing import half_of_the_classes, mix, partners
from ifrkit.models.losses import cross_entropy, upsample

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

JITTER = (0.25, 0.25, 0.25, 0.25)
BLUR = (0.15, 1.15)


def weighted_cross_entropy(
    student_bkhw: Tensor, teacher_bkhw: Tensor, threshold: float, weight_k: Tensor | None = None
) -> Tensor:
    """Cross entropy with the teacher's hard label, times the share of confident pixels of the whole batch.

    student: logits. teacher: probabilities, already mixed. weight_k: of each class.
    """
    confidence_bhw, label_bhw = teacher_bkhw.max(1)
    return (confidence_bhw >= threshold).float().mean() * cross_entropy(student_bkhw, label_bhw, "all", weight_k)


class Method(MeanTeacher):
    """One term, on unlabeled frames with classes of another clip. Blur and jitter are drawn for each image."""

    class Config(MeanTeacher.Config):
        """Constants of the released code."""

        threshold: NotNegative = 0.968
        """Confidence whose share of pixels weighs the term."""

    config: Config
    OPEN = {"threshold": 0.0}

    def views(self) -> list[View]:
        jitter = Jitter(*JITTER, gray=0.0, blur=BLUR)
        return [View("v1_0", "unlabeled", RANDOM), View("v1_0_m", "unlabeled", Copy("v1_0", jitter))]

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """lambda l(f(X_A), Y_A): weight * CE(student(mix), hard label of the mixed predictions)."""
        seen_b3hw = batch.views["v1_0_m"]
        teacher_bkhw = self.teacher.probabilities(batch.views["v1_0"])
        confidence_bhw, label_bhw = teacher_bkhw.max(1)
        base.guess(batch, "v1_0", label_bhw, confidence_bhw >= self.config.threshold)
        mask_bhw = half_of_the_classes(label_bhw, network.num_classes)
        order = partners(batch.clips["unlabeled"])
        seen_b3hw, teacher_bkhw = (mix(x[order], x, mask_bhw) for x in (seen_b3hw, teacher_bkhw))
        logits_bkhw = upsample(network.classify(network.features(seen_b3hw)), network.stride, seen_b3hw.shape[-2:])
        c = self.config
        loss = weighted_cross_entropy(logits_bkhw, teacher_bkhw, c.threshold, batch.pseudo_weights)
        return {"mixed": c.weight * loss}
