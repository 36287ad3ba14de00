"""UniMatch (Yang et al., CVPR 2023): FixMatch with two strong views and one with perturbed features.

Version 1 labels with the network itself and drops half of the channels of the backbone map for the third branch.
Version 2 (TPAMI 2025) labels with a mean teacher and gives both strong views complementary halves of the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from ifrkit.core.bounds import NotNegative, Share
from ifrkit.core.lazy import F, torch
from ifrkit.data.loading.views import RANDOM, Copy, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.methods._mean_teacher import MeanTeacher, confident_cross_entropy
from ifrkit.methods._mixing import box_or_none, mix, partners
from ifrkit.methods.fixmatch import JITTER
from ifrkit.models.losses import upsample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

STRONG = ("v1_0_j", "v1_0_j2")


def complementary_dropout(x_bchw: Tensor) -> Tensor:
    """(2n, c, h, w): both halves of the batch are views of the same n images.

    Of each channel one view has twice the value and the other zero; a random half of the pairs is left alone.
    """
    n, c = len(x_bchw) // 2, x_bchw.shape[1]
    first_nc = 2.0 * torch.randint(0, 2, (n, c), device=x_bchw.device)
    first_nc[torch.randperm(n)[: n // 2].to(x_bchw.device)] = 1.0
    return x_bchw * torch.cat([first_nc, 2.0 - first_nc])[:, :, None, None].to(x_bchw.dtype)


class Method(MeanTeacher):
    """Terms of the two strong views and of the perturbed features (version 1)."""

    class Config(MeanTeacher.Config):
        """Weights of the released code, its halved total written out: the supervised weight is 1."""

        version: Literal[1, 2] = 1
        decay: Annotated[float, Meta(ge=0, lt=1)] = 0.996
        """Of the teacher of version 2."""
        strong: NotNegative = 0.25
        """Weight of each strong view; version 2, which has no other view, counts it twice."""
        features: NotNegative = 0.5
        """Weight of the view with dropped features (version 1)."""
        threshold: NotNegative = 0.95
        """Least confidence; the released Cityscapes runs use 0 with many more labels."""
        cutmix: Share = 0.5

    config: Config
    OPEN = {"threshold": 0.0}

    def _weights(self) -> tuple[float, float]:
        """Of each strong view, and of the view with dropped features."""
        c = self.config
        return (2 * c.weight * c.strong, 0.0) if c.version == 2 else (c.weight * c.strong, c.weight * c.features)

    @property
    def on(self) -> bool:
        return any(self._weights())

    def views(self) -> list[View]:
        strong, _ = self._weights()
        copies = [View(name, "unlabeled", Copy("v1_0", Jitter(*JITTER))) for name in STRONG]
        return [View("v1_0", "unlabeled", RANDOM), *(copies if strong else ())]

    def build(self, network: Network) -> nn.Module | None:
        return super().build(network) if self.config.version == 2 else None

    def stepped(self, network: Network, step: int) -> None:
        if self.config.version == 2:
            super().stepped(network, step)

    def exported(self, network: Network) -> Network:
        return super().exported(network) if self.config.version == 2 else network

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """L_u: cross entropies with the label of the weak view, p^w, where it is confident."""
        c, (of_strong, of_features) = self.config, self._weights()
        weak_b3hw, terms = batch.views["v1_0"], {}
        if c.version == 2:
            confidence_bhw, label_bhw = self.teacher.probabilities(weak_b3hw).max(1)
        else:
            with torch.set_grad_enabled(of_features > 0):  # a label alone needs no graph
                clean_bchw, *dropped = self._weak(network, weak_b3hw, perturbed=of_features > 0)
            logits_bkhw = upsample(base.clean_logits(network, clean_bchw), network.stride, weak_b3hw.shape[-2:])
            confidence_bhw, label_bhw = logits_bkhw.softmax(1).max(1)
            for f_bchw in dropped:
                logits_bkhw = upsample(network.classify(f_bchw), network.stride, weak_b3hw.shape[-2:])
                loss = confident_cross_entropy(
                    logits_bkhw, label_bhw, confidence_bhw, c.threshold, batch.pseudo_weights
                )
                terms["features"] = of_features * loss  # p^fp
        base.guess(batch, "v1_0", label_bhw, confidence_bhw >= c.threshold)
        if of_strong:
            for number, loss in enumerate(self._strong(network, batch, label_bhw, confidence_bhw), start=1):
                terms[f"strong{number}"] = of_strong * loss  # p^s1, p^s2
        return terms

    def _weak(self, network: Network, weak_b3hw: Tensor, perturbed: bool) -> Sequence[Tensor]:
        """f of the weak view, and if asked for also with half of the backbone's channels dropped; one head pass."""
        maps = network.backbone(weak_b3hw)
        if perturbed:
            maps = [torch.cat([x_bchw, F.dropout2d(x_bchw, 0.5)]) for x_bchw in maps]
        return network.decode_head.features(maps).chunk(1 + perturbed)

    def _strong(self, network: Network, batch: Batch, label_bhw: Tensor, confidence_bhw: Tensor) -> list[Tensor]:
        """The loss of each strong view, with a box of its own pasted in; both go through the network in one pass."""
        c = self.config
        size, order = (label_bhw.shape[-2], label_bhw.shape[-1]), partners(batch.clips["unlabeled"])
        masks = [box_or_none(size, len(label_bhw), c.cutmix).to(label_bhw.device) for _ in STRONG]
        images = [batch.views[name] for name in STRONG]
        seen_b3hw = torch.cat([mix(image, image[order], mask) for image, mask in zip(images, masks, strict=True)])
        maps = network.backbone(seen_b3hw)
        if c.version == 2:
            maps = [complementary_dropout(x_bchw) for x_bchw in maps]
        strong = upsample(network.classify(network.decode_head.features(maps)), network.stride, size).chunk(2)
        losses = []
        for logits_bkhw, mask in zip(strong, masks, strict=True):
            label, confidence = (mix(x, x[order], mask) for x in (label_bhw, confidence_bhw))
            losses.append(confident_cross_entropy(logits_bkhw, label, confidence, c.threshold, batch.pseudo_weights))
        return losses
