"""Inter-frame feature reconstruction (Zhuang et al., CVPR 2022).

A labeled frame is rebuilt from class prototypes of another frame of its clip, and its label supervises the rebuilt
map: so one label teaches the features of the other frames too. The defaults are those of the released code; where
the paper says something else, the option names its equation, and recipe `paper-equations` follows the paper. Eq. (4)
is `class_prototypes`, which tdc shares.

Letters: N images, C channels, K classes, P = h * w pixels of a map at 1/8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ifrkit.core.lazy import F, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.methods import base
from ifrkit.methods._prototypes import class_prototypes
from ifrkit.models.losses import cross_entropy, ramp_up, upsample

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch, View
    from ifrkit.models.network import Network


def reconstruct(features: Tensor, prototypes: Tensor, present: Tensor, temperature: float) -> Tensor:
    """Every pixel as a mixture of prototypes, weighted by their cosine to it, Eqs. (5)-(7).

    features: (N, C, h, w), the map to rebuild. prototypes, present: of `class_prototypes`; an absent class gets no
    weight. Returns (N, C, h, w) in the convex hull of the prototypes; zeros for an image without any class.
    """
    with torch.autocast(features.device.type, enabled=False):
        query_ncp = F.normalize(at_least_float32(features).flatten(2), dim=1)
        similarity_nkp = F.normalize(prototypes, dim=2) @ query_ncp  # Eq. (5)
        # The lowest finite number, not -inf: without any class a softmax over -inf would be NaN.
        lowest = torch.finfo(similarity_nkp.dtype).min
        attention_nkp = (similarity_nkp / temperature).masked_fill(~present[:, :, None], lowest).softmax(1)  # Eq. (6)
        return (prototypes.transpose(1, 2) @ attention_nkp).view_as(features)  # Eq. (7)


class Method(base.Method):
    """The four terms of Eq. (11), each of which can be switched off (Table 5)."""

    class Config(base.Method.Config):
        """Constants of the released code; the paper agrees where no equation is named."""

        labeled: float = Field(1e-2, ge=0)
        """lambda_L: weight of reconstruction on labeled clips; 0 switches it off."""
        unlabeled: float = Field(1e-3, ge=0)
        """lambda_U: weight of reconstruction on unlabeled clips; 0 switches it off."""
        strong: float = Field(0.1, ge=0)
        """lambda_s: share of prototypes from distorted frames in both; 0 switches them off."""
        temperature: float = Field(0.5, gt=0)
        """tau_re of Eq. (6)."""
        logit_temperature: float = Field(0.01, gt=0)
        """Divides the logits of rebuilt features, and so weighs gradients up to 100 times. Eq. (8): 1."""
        ramp_up: int = Field(4000, ge=0)
        """Steps over which the weights grow. Eq. (11): 0."""
        pool: Literal["batch", "clip"] = "batch"
        """Prototypes over a group of images, or (Eq. 4) over each frame alone."""
        group: int = Field(2, ge=1)
        """Images of a group; the released code has 2 on each of 2 GPUs."""
        mean: Literal["all", "valid"] = "all"
        """Mean over all pixels or over the labeled ones."""
        label_dropout: bool = True
        """Pseudo labels come from the classifier with its dropout active."""
        passes: Literal["separate", "joint"] = "separate"
        """Each view alone through the network, or all in one pass with common batch statistics."""

    config: Config
    OFF = {"labeled": 0.0, "unlabeled": 0.0}

    def views(self) -> list[View]:
        from ifrkit.data.loading.batch import View

        views = []
        if self.config.labeled:
            views += self._with_strong(View("v0_1", "labeled", "other"))
        if self.config.unlabeled:
            views += [View("v1_0", "unlabeled", "random"), *self._with_strong(View("v1_1", "unlabeled", "random"))]
        return views

    def _with_strong(self, view: View) -> list[View]:
        from ifrkit.data.loading.batch import View

        copy = View(f"{view.name}_s", view.pool, view.frame, distort_of=view.name)
        return [view, copy] if self.config.strong else [view]

    def joint_views(self) -> list[str]:
        return [view.name for view in self.views()] if self.config.passes == "joint" else []

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Eq. (11) without its supervised term, ramped up."""
        c, encode = self.config, partial(base.encode, network, batch, features)
        ramp = ramp_up(step, c.ramp_up)
        terms: dict[str, Tensor] = {}
        if c.labeled:
            pair = self._clip_losses(network, encode, "v0_0", "v0_1", batch.labels["v0_0"])
            terms |= {f"labeled{copy}": ramp * c.labeled * loss for copy, loss in pair.items()}
        if c.unlabeled:
            logits_bkhw = self._pseudo_logits(network, encode("v1_0"))
            label_bhw = upsample(logits_bkhw, batch.views["v1_0"].shape[-2:]).argmax(1)
            base.guess(batch, "v1_0", label_bhw)
            pair = self._clip_losses(network, encode, "v1_0", "v1_1", label_bhw)
            terms |= {f"unlabeled{copy}": ramp * c.unlabeled * loss for copy, loss in pair.items()}
        return terms

    def _clip_losses(
        self, network: Network, encode: Callable[[str], Tensor], target: str, source: str, label_bhw: Tensor
    ) -> dict[str, Tensor]:
        """View `target` rebuilt from view `source`, Eq. (9), and from the distorted copy of `source`, Eq. (10)."""
        target_bchw, source_bchw = encode(target), encode(source)
        pseudo_bhw = self._pseudo_logits(network, source_bchw).argmax(1)  # Eq. (3)
        losses = {"": self._loss(network, target_bchw, source_bchw, pseudo_bhw, label_bhw)}
        if self.config.strong:
            # The copy shows the same pixels, so the label of the clean frame tells its classes.
            loss = self._loss(network, target_bchw, encode(f"{source}_s"), pseudo_bhw, label_bhw)
            losses["_strong"] = self.config.strong * loss
        return losses

    def _loss(
        self, network: Network, target_bchw: Tensor, source_bchw: Tensor, pseudo_bhw: Tensor, label_bhw: Tensor
    ) -> Tensor:
        """Cross entropy of `target` rebuilt from `source`, against the label of `target`, Eq. (8)."""
        c = self.config
        prototypes, present = class_prototypes(source_bchw, pseudo_bhw, network.num_classes, c.pool, c.group)
        rebuilt_bchw = reconstruct(target_bchw, prototypes, present, c.temperature)
        logits_bkhw = upsample(network.classify(rebuilt_bchw), label_bhw.shape[-2:])
        return cross_entropy(logits_bkhw / c.logit_temperature, label_bhw, c.mean)

    def _pseudo_logits(self, network: Network, f_bchw: Tensor) -> Tensor:
        """Logits that are only good for an argmax: no gradient passes, so none is prepared."""
        if not self.config.label_dropout:
            return base.clean_logits(network, f_bchw)
        with torch.no_grad():
            return network.classify(f_bchw)
