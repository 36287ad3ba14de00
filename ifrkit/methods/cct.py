"""CCT, cross-consistency training (Ouali et al., CVPR 2020).

Auxiliary decoders read perturbed features of unlabeled images and must agree with the main classifier, which learns
from labels alone. The images themselves are not perturbed. The main classifier of the common base takes the place of
the released main decoder; the exported network has no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.core.bounds import Count, NotNegative
from ifrkit.core.keyed import key_seed
from ifrkit.core.lazy import nn, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.data.loading.views import RANDOM, View
from ifrkit.methods import base
from ifrkit.models import parts
from ifrkit.models.losses import ramp_up, upsample

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.cct_decoders import Decoder
    from ifrkit.models.network import Network

KINDS = ("vat", "dropout", "cutout", "context", "object", "drop", "noise")
GUIDED = ("cutout", "context", "object")


class Method(base.Method):
    """One term: the mean over decoders of the squared distance of probabilities."""

    class Config(base.Method.Config):
        """Constants of the released code: thirty decoders of seven kinds."""

        weight: NotNegative = 30.0
        """Of a mean over pixels and classes."""
        ramp_up: Count = 4000
        """Steps over which the weight grows: a tenth of the training."""
        vat: Count = 2
        dropout: Count = 6
        cutout: Count = 6
        context: Count = 2
        object: Count = 2
        drop: Count = 6
        noise: Count = 6
        things: tuple[int, ...] = ()
        """Class ids of cars, people and the like, which guide cutout, context and object; without any there are none
        of these three. (The released code takes every class but the first.)"""

        def kinds(self) -> list[str]:
            """The kind of each decoder."""
            usable = [kind for kind in KINDS if self.things or kind not in GUIDED]
            return [kind for kind in usable for _ in range(getattr(self, kind))]

    config: Config
    decoders: list[Decoder]
    OFF = {"weight": 0.0}

    @property
    def on(self) -> bool:
        return super().on and bool(self.config.kinds())

    def views(self) -> list[View]:
        return [View("v1_0", "unlabeled", RANDOM)]

    def build(self, network: Network) -> nn.Module | None:
        with parts.seeded(key_seed(network.seed, "cct")):
            decoders = [parts.Decoder(network.feature_channels, network.num_classes) for _ in self.config.kinds()]
        self.decoders = decoders
        return nn.ModuleList(decoders)

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """omega_u L_u, Eq. (2): weight * ramp-up * mean over decoders of d(g(z), g_a(perturbed z)).

        z is the feature f, g the classifier, which L_u does not teach, g_a an auxiliary decoder, d the squared distance
        of their probabilities.
        """
        c, f_bchw = self.config, base.encode(network, batch, features, "v1_0")
        size = batch.views["v1_0"].shape[-2:]
        target_bkhw = upsample(base.clean_logits(network, f_bchw), network.stride, size).softmax(1)  # g(z)
        label_bhw = target_bkhw.argmax(1)
        base.guess(batch, "v1_0", label_bhw)
        things = torch.tensor(c.things, device=f_bchw.device, dtype=torch.long)
        things_bhw = torch.isin(label_bhw, things)
        losses = []
        for kind, decoder in zip(c.kinds(), self.decoders, strict=True):
            adversarial = kind == "vat"
            moved = parts.adversarial(decoder, f_bchw) if adversarial else parts.PERTURBATIONS[kind](f_bchw, things_bhw)
            logits_bkhw = decoder(moved)
            if logits_bkhw.shape[-2:] != size:
                logits_bkhw = upsample(logits_bkhw, network.stride, size, decoder.ENLARGES)
            losses.append((at_least_float32(logits_bkhw).softmax(1) - target_bkhw).square().mean())  # d
        return {"consistency": c.weight * ramp_up(step, c.ramp_up) * torch.stack(losses).mean()}
