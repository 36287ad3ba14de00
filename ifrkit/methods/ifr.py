"""Inter-frame feature reconstruction (Zhuang et al., CVPR 2022).

A labeled frame is rebuilt from class prototypes of another frame of its clip, and its label supervises the rebuilt
map: so one label teaches the features of the other frames too. The defaults are those of the released code; where
the paper says something else, the option names its equation, and recipe `paper-equations` follows the paper. Eq. (4)
is `class_prototypes`, which tdc shares.

Letters as in core/records.py: b images, c channels, k classes, h w size; p = h * w pixels of a map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from ifrkit.core.bounds import Count, Natural, NotNegative, Positive
from ifrkit.core.lazy import F, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.data.loading.views import OTHER, RANDOM, Copy, View, weighted
from ifrkit.methods import base
from ifrkit.methods._prototypes import class_prototypes
from ifrkit.models.losses import cross_entropy, ramp_up, upsample

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network


def reconstruct(features_bchw: Tensor, prototypes_bkc: Tensor, present_bk: Tensor, temperature: float) -> Tensor:
    """Every pixel as a mixture of prototypes, weighted by their cosine to it, Eqs. (5)-(7).

    features: the map to rebuild. prototypes, present: of `class_prototypes`; an absent class gets no weight. Returns
    (b, c, h, w) in the convex hull of the prototypes; zeros for an image without any class.
    """
    with torch.autocast(features_bchw.device.type, enabled=False):
        query_bcp = F.normalize(at_least_float32(features_bchw).flatten(2), dim=1)
        similarity_bkp = F.normalize(prototypes_bkc, dim=2) @ query_bcp  # Eq. (5)
        # The lowest finite number, not -inf: without any class a softmax over -inf would be NaN.
        lowest = torch.finfo(similarity_bkp.dtype).min
        similarity_bkp = (similarity_bkp / temperature).masked_fill(~present_bk[:, :, None], lowest)
        attention_bkp = similarity_bkp.softmax(1)  # Eq. (6)
        return (prototypes_bkc.transpose(1, 2) @ attention_bkp).view_as(features_bchw)  # Eq. (7)


class Method(base.Method):
    """The four terms of Eq. (11), each of which can be switched off (Table 5)."""

    class Config(base.Method.Config):
        """Constants of the released code; the paper agrees where no equation is named."""

        labeled: NotNegative = 1e-2
        """lambda_L: weight of reconstruction on labeled clips; 0 switches it off."""
        unlabeled: NotNegative = 1e-3
        """lambda_U: weight of reconstruction on unlabeled clips; 0 switches it off."""
        strong: NotNegative = 0.1
        """lambda_s: share of prototypes from distorted frames in both; 0 switches them off."""
        temperature: Positive = 0.5
        """tau_re of Eq. (6)."""
        logit_temperature: Positive = 0.01
        """Divides the logits of rebuilt features, and so weighs gradients up to 100 times. Eq. (8): 1."""
        ramp_up: Count = 4000
        """Steps over which the weights grow. Eq. (11): 0."""
        pool: Literal["batch", "clip"] = "batch"
        """Prototypes over a group of images, or (Eq. 4) over each frame alone."""
        group: Natural = 2
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
        c = self.config
        return weighted(
            (c.labeled, View("v0_1", "labeled", OTHER)),
            (c.labeled * c.strong, View("v0_1_s", "labeled", Copy("v0_1"))),
            (c.unlabeled, View("v1_0", "unlabeled", RANDOM)),
            (c.unlabeled, View("v1_1", "unlabeled", RANDOM)),
            (c.unlabeled * c.strong, View("v1_1_s", "unlabeled", Copy("v1_1"))),
        )

    def joint_views(self) -> list[str]:
        return [view.name for view in self.views()] if self.config.passes == "joint" else []

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Eq. (11) without its supervised term, ramped up.

        View `target` is rebuilt from view `source` of its clip, Eq. (9), and from the distorted copy of that, Eq. (10).
        """
        c, encode = self.config, partial(base.encode, network, batch, features)
        ramp = ramp_up(step, c.ramp_up)
        terms: dict[str, Tensor] = {}
        for clip, weight, target, source in (
            ("labeled", c.labeled, "v0_0", "v0_1"),
            ("unlabeled", c.unlabeled, "v1_0", "v1_1"),
        ):
            if not weight:
                continue
            if clip == "labeled":
                label_bhw, weight_k = batch.labels[target], batch.class_weights
            else:
                label_bhw, weight_k = self._own_label(network, batch, encode), batch.pseudo_weights
            pseudo_bhw = self._pseudo_logits(network, encode(source)).argmax(1)  # Eq. (3)
            # The copy shows the same pixels, so the label of the clean frame tells its classes.
            for copy, view, share in (("", source, 1.0), ("_strong", f"{source}_s", c.strong)):
                if share:
                    means = class_prototypes(encode(view), pseudo_bhw, network.num_classes, c.pool, c.group)  # Eq. (4)
                    rebuilt_bchw = reconstruct(encode(target), *means, c.temperature)  # Eqs. (5)-(7)
                    with torch.autocast(rebuilt_bchw.device.type, enabled=False):  # Eq. (8) enlarges what is rounded
                        logits_bkhw = network.classify(at_least_float32(rebuilt_bchw))
                    logits_bkhw = upsample(logits_bkhw, network.stride, label_bhw.shape[-2:])
                    loss = cross_entropy(logits_bkhw / c.logit_temperature, label_bhw, c.mean, weight_k)  # Eq. (8)
                    terms[f"{clip}{copy}"] = ramp * weight * (share * loss)
        return terms

    def _own_label(self, network: Network, batch: Batch, encode: Callable[[str], Tensor]) -> Tensor:
        """The network's label (b, h, w) of the unlabeled frame."""
        logits_bkhw = self._pseudo_logits(network, encode("v1_0"))
        label_bhw = upsample(logits_bkhw, network.stride, batch.views["v1_0"].shape[-2:]).argmax(1)
        base.guess(batch, "v1_0", label_bhw)
        return label_bhw

    def _pseudo_logits(self, network: Network, f_bchw: Tensor) -> Tensor:
        """Logits that are only good for an argmax: no gradient passes, so none is prepared."""
        if not self.config.label_dropout:
            return base.clean_logits(network, f_bchw)
        with torch.no_grad():
            return network.classify(f_bchw)
