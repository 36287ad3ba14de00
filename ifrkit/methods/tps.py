"""TPS, temporal pseudo supervision (Xing et al., ECCV 2022): the label of the frame before, carried over by flow.

The network's prediction of a neighbouring frame is warped to the present one; its classes teach the strongly distorted
present frame. No teacher, no threshold. The released code adapts to another domain with Accel. Here it is
the plain video baseline of the common protocol: single frames and flow by DIS (OpenCV). Unlike the source, it ignores
pixels whose flow does not come back. The rescaling of frames is left out, as in all methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ifrkit.core.bounds import NotNegative
from ifrkit.core.lazy import np, torch
from ifrkit.core.records import IGNORE
from ifrkit.data.loading.views import RANDOM, Copy, Draw, Frames, Place, Placement, Reading, View
from ifrkit.data.pixels.flow import consistent_flow
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.models import parts
from ifrkit.models.losses import Mean, cross_entropy, upsample

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

JITTER = (0.8, 0.8, 0.8, 0.2)
BLUR_PROBABILITY = 0.6


@dataclass(frozen=True)
class Neighbour(Placement):
    """The frame before that view's frame (for the first of a clip the one after it), mirrored like it.

    Extra: (3, h, w) float32, for each pixel of that view the flow to this one, x first, and 1 where it is sure, else 0.
    """

    of: str

    def fits(self, frames: Frames, before: Sequence[View]) -> bool:
        return len(frames.shown) > 1

    def draw(self, view: View, draw: Draw) -> Place:
        own = draw.places[self.of]
        return own._replace(frame=abs(own.frame - 1))

    def extra(self, reading: Reading, view: View) -> NDArray[np.float32]:
        flow, sure = consistent_flow(reading.images[self.of], reading.images[view.name])
        return np.concatenate([flow, sure[None].astype(np.float32)])


def carried_label(probability_bkhw: Tensor, flow_b3hw: Tensor) -> Tensor:
    """Classes (b, h, w) of the warped probabilities of another frame; 255 where the flow is not sure.

    flow_b3hw: from each pixel to its place in that frame, x first, in pixels; then 1 where it is sure, else 0.
    """
    label_bhw = parts.warp(probability_bkhw, flow_b3hw[:, :2]).argmax(1)
    return label_bhw.masked_fill(flow_b3hw[:, 2] == 0, IGNORE)


class Method(base.Method):
    """One term, on a strong view of an unlabeled frame."""

    class Config(base.Method.Config):
        """Constants of the released code (VIPER to Cityscapes-Seq)."""

        weight: NotNegative = 0.1
        mean: Mean = "all"
        """Mean over all pixels, or over those that got a label."""

    config: Config
    OFF = {"weight": 0.0}

    def views(self) -> list[View]:
        strong = Jitter(*JITTER, blur_probability=BLUR_PROBABILITY)
        return [
            View("v1_0", "unlabeled", RANDOM),
            View("v1_0_n", "unlabeled", Neighbour("v1_0")),
            View("v1_0_t", "unlabeled", Copy("v1_0", strong)),
        ]

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """weight * CE(network(strong view), label carried over from the neighbour)."""
        size = batch.views["v1_0_n"].shape[-2:]
        with torch.no_grad():
            before_bchw = network.features(batch.views["v1_0_n"])
            probability_bkhw = upsample(base.clean_logits(network, before_bchw), network.stride, size).softmax(1)
            label_bhw = carried_label(probability_bkhw, batch.extras["v1_0_n"])
        base.guess(batch, "v1_0", label_bhw, label_bhw != IGNORE)
        logits_bkhw = upsample(network.classify(base.encode(network, batch, features, "v1_0_t")), network.stride, size)
        return {
            "carried": self.config.weight
            * cross_entropy(logits_bkhw, label_bhw, self.config.mean, batch.pseudo_weights)
        }
