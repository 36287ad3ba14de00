"""What fixmatch, cutmix, classmix and unimatch share: a mean teacher beside the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta

from ifrkit.core.bounds import NotNegative
from ifrkit.core.lazy import F
from ifrkit.core.precision import at_least_float32
from ifrkit.methods import base
from ifrkit.models import parts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.models.network import Network
    from ifrkit.models.teacher import Teacher


class MeanTeacher(base.Method):
    """Builds the teacher, lets it follow, and exports it if asked to. Subclasses define the views and the loss."""

    class Config(base.Method.Config):
        """Options of the teacher."""

        weight: NotNegative = 1.0
        """Of the term beside the supervised one; 0 switches the method off."""
        decay: Annotated[float, Meta(ge=0, lt=1)] = 0.99
        """Of the moving average."""
        export: Literal["student", "ema"] = "student"
        """Which of both is validated and saved."""

    config: Config
    OFF = {"weight": 0.0}
    WARM: ClassVar[bool] = True
    teacher: Teacher

    def build(self, network: Network) -> nn.Module | None:
        self.teacher = parts.Teacher(network, self.config.decay, self.WARM)
        return self.teacher

    def stepped(self, network: Network, step: int) -> None:
        self.teacher.follow(network, step)

    def exported(self, network: Network) -> Network:
        return self.teacher.network if self.config.export == "ema" else network


def confident_cross_entropy(
    logits_bkhw: Tensor,
    label_bhw: Tensor,
    confidence_bhw: Tensor,
    threshold: float,
    weight_k: Tensor | None = None,
) -> Tensor:
    """1[max p^w >= tau] H(p^w, p^s), Eq. (4) of FixMatch: cross entropy where the confidence is at least tau, else 0.

    Mean over all pixels, not over the kept ones: that explodes when few are kept. weight_k: of each class.
    """
    logits_bkhw = at_least_float32(logits_bkhw)
    weight_k = None if weight_k is None else weight_k.to(logits_bkhw.dtype)
    ce_bhw = F.cross_entropy(logits_bkhw, label_bhw, weight_k, reduction="none")
    return (ce_bhw * (confidence_bhw >= threshold)).mean()
