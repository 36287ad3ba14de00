"""Distillation into one light network that sees each frame by itself, steady in time.

    ifrkit train-branches --ssl none --branch reference | ifrkit train-branches --ssl distill --branch update

After Liu, Shen, Yu and Wang, *Efficient semantic video segmentation with per-frame inference* (ECCV 2020): time is used
in training alone, by a loss between the predictions of two frames along the flow, and a heavy network teaches the light
one. Here the teacher's soft labels are on unlabeled frames, of which there are many. Of the paper's distillation terms
the pixel-wise one is here; pair-wise and multi-frame terms are left out. Letters: z logits, q probabilities of the
student, p of the teacher, T temperature, V visibility, a hat for what is warped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from ifrkit.core.bounds import NotNegative, Positive
from ifrkit.core.config import ByInput
from ifrkit.core.lazy import F, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.data.loading.views import RANDOM, View
from ifrkit.methods import base
from ifrkit.methods.tps import Neighbour
from ifrkit.models import parts
from ifrkit.models.losses import upsample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

KIND = "branches"
"""Of the artifact that the teacher comes from."""


def soft_loss(z_bkhw: Tensor, teacher_bkhw: Tensor, temperature: float) -> Tensor:
    """T^2 KL(p || q), mean over pixels: p = softmax(z^t / T), q = softmax(z / T) (Hinton et al., 2015)."""
    log_p_bkhw, log_q_bkhw = (F.log_softmax(at_least_float32(z) / temperature, dim=1) for z in (teacher_bkhw, z_bkhw))
    return temperature**2 * (log_p_bkhw.exp() * (log_p_bkhw - log_q_bkhw)).sum(1).mean()


def visibility(image_b3hw: Tensor, other_b3hw: Tensor, flow_b3hw: Tensor) -> Tensor:
    """V = exp(-|I_t - hat I_t+k|), (b, h, w), mean over RGB in 0..1; 0 where the flow is not sure.

    flow_b3hw: from each pixel to its place in the other image, x first; then 1 where it is sure, else 0.
    """
    hat_b3hw = parts.warp(other_b3hw, flow_b3hw[:, :2])
    return torch.exp(-(image_b3hw - hat_b3hw).abs().mean(1) / 255) * flow_b3hw[:, 2]


def temporal_loss(q_bkhw: Tensor, other_bkhw: Tensor, flow_b3hw: Tensor, v_bhw: Tensor) -> Tensor:
    """l_tl = 1/N sum_i V_i |q_t,i - hat q_t+k,i|^2 over the N pixels; hat: warped along the flow."""
    hat_bkhw = parts.warp(other_bkhw, flow_b3hw[:, :2])
    return (v_bhw * (q_bkhw - hat_bkhw).square().sum(1)).mean()


class Method(base.Method):
    """Two terms, on an unlabeled frame and a neighbour of it."""

    class Config(base.Method.Config):
        """Where the teacher is, and what its terms weigh."""

        teacher: Annotated[str, ByInput()] = KIND
        """Where none comes through the pipe: a path, an id, or "branches" for the newest of the workspace. Its
        reference branch teaches, where it has one."""
        weight: NotNegative = 1.0
        """Of both terms; 0 switches the method off."""
        temperature: Positive = 1.0
        """T: above 1 the teacher's small probabilities count for more."""
        temporal: NotNegative = 0.1
        """Of the temporal loss, beside 1 of the soft labels."""

        def artifacts(self) -> dict[str, str]:
            return {KIND: self.teacher} if self.weight else {}

    config: Config
    OFF = {"weight": 0.0}

    def views(self) -> list[View]:
        plain = View("v1_0", "unlabeled", RANDOM)
        return [plain, View("v1_0_n", "unlabeled", Neighbour("v1_0"))] if self.config.temporal else [plain]

    def build(self, network: Network) -> nn.Module | None:
        assert self.trained is not None, "stage one gives it"
        self.frozen = parts.Teacher(self.trained, decay=1.0, warm=False)
        return self.frozen

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """weight * (soft loss + temporal * temporal loss)."""
        c, size = self.config, batch.views["v1_0"].shape[-2:]
        z_bkhw = upsample(network.classify(base.encode(network, batch, features, "v1_0")), network.stride, size)
        teacher_bkhw = self.frozen.logits(batch.views["v1_0"], network)
        base.guess(batch, "v1_0", teacher_bkhw.argmax(1))
        terms = {"soft": c.weight * soft_loss(z_bkhw, teacher_bkhw, c.temperature)}
        if c.temporal:
            f_bchw = base.encode(network, batch, features, "v1_0_n")
            other_bkhw = upsample(network.classify(f_bchw), network.stride, size)
            q_bkhw, near_bkhw = (at_least_float32(z).softmax(1) for z in (z_bkhw, other_bkhw))
            flow_b3hw = batch.extras["v1_0_n"]
            rgb_b3hw, near_b3hw = (network.denormalise(batch.views[name]) for name in ("v1_0", "v1_0_n"))
            v_bhw = visibility(rgb_b3hw, near_b3hw, flow_b3hw)
            terms["temporal"] = c.weight * c.temporal * temporal_loss(q_bkhw, near_bkhw, flow_b3hw, v_bhw)
        return terms
