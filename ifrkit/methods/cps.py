"""Cross pseudo supervision (Chen et al., CVPR 2021): two networks, each taught by the other's hard labels.

Both start from other random weights; with the same ones they would stay equal forever. The first one is validated and
saved. Scale augmentation of the released code is left out: all methods here see the same crops.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ifrkit.core.bounds import Count, NotNegative
from ifrkit.core.lazy import torch
from ifrkit.data.loading.views import RANDOM, View
from ifrkit.methods import base
from ifrkit.methods._mixing import boxes_of_area, mix, partners
from ifrkit.models import parts
from ifrkit.models.losses import Mean, cross_entropy, ramp_up, upsample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

BOXES, SHARES = 3, (0.25, 0.5)
"""CutMix boxes of the released code."""


def cross_supervision(
    first_bkhw: Tensor,
    second_bkhw: Tensor,
    first_bhw: Tensor,
    second_bhw: Tensor,
    weight_k: Tensor | None = None,
) -> Tensor:
    """L_cps: l_ce(p_1, y_2) + l_ce(p_2, y_1), each network's logits with the other one's label; means over pixels."""
    ce = partial(cross_entropy, mean="all", weight_k=weight_k)
    return ce(first_bkhw, second_bhw) + ce(second_bkhw, first_bhw)


class Method(base.Method):
    """Terms: the supervised loss of the second network, and cross supervision."""

    class Config(base.Method.Config):
        """Weights of the released VOC runs, whose supervised loss is a plain cross entropy like the one here."""

        weight: NotNegative = 1.5
        """1.5, with CutMix 1; the released Cityscapes runs, with hard-example mining, use 6 and 5."""
        ramp_up: Count = 0
        """Steps over which the weight grows. Released: 0, from pretrained backbones; random ones first teach noise."""
        cutmix: bool = False
        """Cross-supervise on mixed unlabeled images only."""
        mean: Mean = "all"
        """Of the second network's supervised loss, as the first one's `ce_mean`."""

    config: Config
    OFF = {"weight": 0.0}
    second: Network

    def views(self) -> list[View]:
        return [View("v1_0", "unlabeled", RANDOM)]

    def build(self, network: Network) -> nn.Module | None:
        self.second = parts.sibling(network)
        return self.second

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """The second network's part of L_s, and lambda L_cps."""
        label_bhw = batch.labels["v0_0"]
        size = (label_bhw.shape[-2], label_bhw.shape[-1])
        own = {"v0_0": self.second.features(batch.views["v0_0"])}
        logits_bkhw = upsample(self.second.classify(own["v0_0"]), self.second.stride, size)
        if self.config.cutmix:
            cross = self._mixed(network, batch, size)
        else:
            cross = self._plain(network, batch, features, own, size)
        weight = self.config.weight * ramp_up(step, self.config.ramp_up)
        second = cross_entropy(logits_bkhw, label_bhw, self.config.mean, batch.class_weights)
        return {"second": second, "cross": weight * cross}

    def _plain(
        self,
        network: Network,
        batch: Batch,
        features: dict[str, Tensor],
        own: dict[str, Tensor],
        size: tuple[int, int],
    ) -> Tensor:
        """L_cps^l and L_cps^u: labeled and unlabeled images alike, as many of each. own: maps of the second network."""
        losses = []
        for name in ("v0_0", "v1_0"):
            first_bchw = base.encode(network, batch, features, name)
            second_bchw = base.encode(self.second, batch, own, name)
            pairs = ((network, first_bchw), (self.second, second_bchw))
            logits = [upsample(net.classify(f_bchw), net.stride, size) for net, f_bchw in pairs]
            labels = [upsample(base.clean_logits(net, f_bchw), net.stride, size).argmax(1) for net, f_bchw in pairs]
            (first, second), (first_label, second_label) = logits, labels
            losses.append(cross_supervision(first, second, first_label, second_label, batch.pseudo_weights))
        base.guess(batch, "v1_0", labels[1])
        return torch.stack(losses).mean()

    def _mixed(self, network: Network, batch: Batch, size: tuple[int, int]) -> Tensor:
        """Each network's label of two clips, mixed like the images."""
        image_b3hw = batch.views["v1_0"]
        order = partners(batch.clips["unlabeled"])
        mask_bhw = boxes_of_area(size, len(image_b3hw), SHARES, BOXES).to(image_b3hw.device)
        mixed_b3hw = mix(image_b3hw, image_b3hw[order], mask_bhw)
        logits, labels = [], []
        for net in (network, self.second):
            with torch.no_grad():
                label_bhw = upsample(base.clean_logits(net, net.features(image_b3hw)), net.stride, size).argmax(1)
            base.guess(batch, "v1_0", label_bhw)  # the second network's stays: it teaches the first
            labels.append(mix(label_bhw, label_bhw[order], mask_bhw))
            logits.append(upsample(net.classify(net.features(mixed_b3hw)), net.stride, size))
        (first, second), (first_label, second_label) = logits, labels
        return cross_supervision(first, second, first_label, second_label, batch.pseudo_weights)
