"""CutMix with a mean teacher (French et al., BMVC 2020): predict a mix of two images as the mix of their predictions.

The partner is another sample of the batch, so the teacher sees each image once (the source draws a second batch).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ifrkit.core.bounds import NotNegative
from ifrkit.core.precision import at_least_float32
from ifrkit.data.loading.views import RANDOM, Copy, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.methods._mean_teacher import MeanTeacher
from ifrkit.methods._mixing import boxes_of_area, mix, partners
from ifrkit.models.losses import upsample

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

JITTER = (0.4, 0.4, 0.4, 0.1)
"""Brightness, contrast, saturation, hue; with grayscale, without blur."""


def consistency(student_bkhw: Tensor, teacher_bkhw: Tensor, threshold: float) -> Tensor:
    """L_cons: squared distance of probabilities, summed over classes, mean over pixels, times the share of sure pixels.

    student: logits. teacher: probabilities. One share for the whole batch: no single pixel is masked.
    """
    rate = (teacher_bkhw.amax(1) >= threshold).float().mean()
    return rate * (at_least_float32(student_bkhw).softmax(1) - teacher_bkhw).square().sum(1).mean()


class Method(MeanTeacher):
    """One term, on unlabeled frames with a box of another clip."""

    class Config(MeanTeacher.Config):
        """Constants of the released Cityscapes runs."""

        threshold: NotNegative = 0.97
        """Confidence whose share of pixels weighs the term."""
        export: Literal["student", "ema"] = "ema"

    config: Config
    OPEN = {"threshold": 0.0}
    WARM = False

    def views(self) -> list[View]:
        jitter = Jitter(*JITTER, blur_probability=0.0)
        return [View("v1_0", "unlabeled", RANDOM), View("v1_0_c", "unlabeled", Copy("v1_0", jitter))]

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """weight * consistency(student(mix), mix of the teacher's predictions)."""
        seen_b3hw = batch.views["v1_0_c"]
        b, _, h, w = seen_b3hw.shape
        teacher_bkhw = self.teacher.probabilities(batch.views["v1_0"])
        confidence_bhw, label_bhw = teacher_bkhw.max(1)
        base.guess(batch, "v1_0", label_bhw, confidence_bhw >= self.config.threshold)
        order, mask_bhw = partners(batch.clips["unlabeled"]), boxes_of_area((h, w), b).to(seen_b3hw.device)
        seen_b3hw, teacher_bkhw = (mix(x, x[order], mask_bhw) for x in (seen_b3hw, teacher_bkhw))
        logits_bkhw = upsample(network.classify(network.features(seen_b3hw)), network.stride, (h, w))
        return {"mixed": self.config.weight * consistency(logits_bkhw, teacher_bkhw, self.config.threshold)}
