"""AdvSemiSeg, adversarial learning for semi-supervised segmentation (Hung et al., BMVC 2018).

A fully convolutional discriminator D tells labels from predictions, for each pixel. The network S learns to be taken
for a label, also on unlabeled frames; there it also learns from its own hard labels, where D takes them for labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.core.bounds import Count, NotNegative
from ifrkit.core.lazy import torch
from ifrkit.core.precision import at_least_float32
from ifrkit.core.records import IGNORE
from ifrkit.data.loading.views import View
from ifrkit.methods import base
from ifrkit.methods._adversarial import Adversarial, called, frozen, known, one_hot
from ifrkit.models import parts
from ifrkit.models.losses import cross_entropy, upsample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network


def trusted_cross_entropy(logits_bkhw: Tensor, own_bhw: Tensor, answers_bhw: Tensor, threshold: float) -> Tensor:
    """L_semi, Eq. (5): CE with the network's own labels, the mean over pixels where sigmoid(D) >= threshold.

    answers: D's logits at the size of the labels. 0 where no pixel passes.
    """
    trusted_bhw = at_least_float32(answers_bhw.detach()).sigmoid() >= threshold
    return cross_entropy(logits_bkhw, own_bhw.masked_fill(~trusted_bhw, IGNORE), "valid")


class Method(Adversarial):
    """Terms of S: adversarial on labeled and on unlabeled frames, semi-supervised; and the term of D."""

    class Config(Adversarial.Config):
        """Constants of the released code; D's Adam has its rate of 1e-4."""

        labeled: NotNegative = 0.01
        """lambda_adv on labeled frames: of the published command. (The code's default is 0.1.)"""
        unlabeled: NotNegative = 0.001
        """lambda_adv on unlabeled frames, from the first step on."""
        semi: NotNegative = 0.1
        """lambda_semi."""
        threshold: NotNegative = 0.2
        """T_semi: how sure D must be of a pixel."""
        start: Count = 10000
        """First step with the semi-supervised term: a quarter of the training (released: 5000 of 20,000)."""

    config: Config
    OFF = {"labeled": 0.0, "unlabeled": 0.0, "semi": 0.0}
    OPEN = {"threshold": 0.0, "start": 0}

    def views(self) -> list[View]:
        return super().views() if self.config.unlabeled or self.config.semi else []

    def make(self, num_classes: int) -> nn.Module:
        return parts.PixelDiscriminator(num_classes, self.config.channels)

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """For S, Eq. (2): labeled * L_adv + unlabeled * L_adv + semi * L_semi. For D: L_D, Eq. (1)."""
        c = self.config
        terms: dict[str, Tensor] = {}
        label_bhw = batch.labels["v0_0"]
        size, known_bhw = label_bhw.shape[-2:], known(label_bhw)
        fake_bkhw = upsample(network.classify(features["v0_0"]), network.stride, size).softmax(1)
        if c.labeled:
            terms["labeled"] = c.labeled * called(True, frozen(self.discriminator, fake_bkhw), known_bhw)  # Eq. (4)
        counts_bhw = known_bhw
        if c.unlabeled or c.semi:
            f_bchw = base.encode(network, batch, features, "v1_0")
            logits_bkhw = upsample(network.classify(f_bchw), network.stride, size)
            answers_bhw = frozen(self.discriminator, logits_bkhw.softmax(1))
            if c.unlabeled:
                terms["unlabeled"] = c.unlabeled * called(True, answers_bhw)  # Eq. (4)
            if c.semi:
                own_bhw = upsample(base.clean_logits(network, f_bchw), network.stride, size).argmax(1)
                base.guess(batch, "v1_0", own_bhw, answers_bhw.sigmoid() >= c.threshold)
                loss = trusted_cross_entropy(logits_bkhw, own_bhw, answers_bhw, c.threshold)
                terms["semi"] = c.semi * (step >= c.start) * loss
            fake_bkhw = torch.cat([fake_bkhw, logits_bkhw.softmax(1)])
            counts_bhw = torch.cat([known_bhw, torch.ones_like(answers_bhw, dtype=torch.bool)])
        # Eq. (1): L_D = (BCE(D(S(x)), 0) + BCE(D(one-hot y), 1)) / 2; S(x) as it was before S's step
        fake = called(False, self.discriminator(fake_bkhw.detach()), counts_bhw)
        real_bkhw = one_hot(label_bhw, network.num_classes).to(fake_bkhw.dtype)
        real = called(True, self.discriminator(real_bkhw), known_bhw)
        return {**terms, "discriminator": (fake + real) / 2}
