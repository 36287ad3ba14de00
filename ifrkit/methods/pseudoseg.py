"""PseudoSeg (Zou et al., ICLR 2021): two views of where a class is, fused, teach the strongly distorted frame.

One is the decoder's prediction of the plain frame, the other Grad-CAM of an image-level classifier, refined by
self-attention (SGC, `ifrkit/models/class_maps.py`). Both are brought to one scale before they are averaged, and the
average is sharpened; there is no threshold.

The paper's classifier may learn from image-level labels of more images. Here it is a small head on the backbone that
learns which classes the labels of the labeled frames show, as the released code does without such labels. Every class
has a map, and there is no background class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.core.bounds import Natural, NotNegative, Positive, Share
from ifrkit.core.keyed import key_seed
from ifrkit.core.lazy import F, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.data.loading.views import RANDOM, Copy, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.models import parts
from ifrkit.models.losses import cross_entropy, upsample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.class_maps import ClassMaps
    from ifrkit.models.network import Network

JITTER = Jitter(0.5, 0.5, 0.5, 0.25, probability=1.0, gray=0.0, blur_probability=0.0)
EPSILON = 1e-8


def fused(decoder_bkhw: Tensor, refined_bkhw: Tensor, temperature: float) -> Tensor:
    """F: the pseudo label (b, k, h, w), probabilities, of logits p (decoder) and m (class maps).

    Sharpen((Softmax(p / Norm(p, m)) + Softmax(m / Norm(p, m))) / 2, T). Norm: root of the mean square of all values of
    both, over the batch. Sharpen: each to the power 1 / T, then divided by their sum.
    """
    p, m = at_least_float32(decoder_bkhw), at_least_float32(refined_bkhw)
    norm = ((p.square().mean() + m.square().mean()) / 2 + EPSILON).sqrt()  # Norm(p, m)
    mean_bkhw = ((p / norm).softmax(1) + (m / norm).softmax(1)) / 2
    sharp_bkhw = mean_bkhw ** (1 / temperature)
    return sharp_bkhw / sharp_bkhw.sum(1, keepdim=True)  # Sharpen


def soft_cross_entropy(
    logits_bkhw: Tensor, target_bkhw: Tensor, counts_bhw: Tensor, weight_k: Tensor | None = None
) -> Tensor:
    """L_u: cross entropy with a soft label, the mean over pixels that count, else 0. weight_k: of each class."""
    logits_bkhw = at_least_float32(logits_bkhw)
    weight_k = None if weight_k is None else weight_k.to(logits_bkhw.dtype)
    ce_bhw = F.cross_entropy(logits_bkhw, target_bkhw.to(logits_bkhw.dtype), weight_k, reduction="none")
    return (ce_bhw * counts_bhw).sum() / counts_bhw.sum().clamp(min=1)


def boxes(size: tuple[int, int], count: int, reach: float) -> Tensor:
    """CutOut: (count, h, w) bool on the CPU, True in a box around any pixel, cut off at the border.

    reach: from its middle to its sides, as a share of the image's sides.
    """
    sides = [(round(reach * side), torch.arange(side)) for side in size]
    inside = [(at - torch.randint(len(at), (count, 1))).abs() < far for far, at in sides]
    return inside[0][:, :, None] & inside[1][:, None, :]


class Method(base.Method):
    """Terms: what classifier and self-attention learn from the labeled frame, and consistency on the unlabeled one."""

    class Config(base.Method.Config):
        """Constants of the released code."""

        weight: NotNegative = 1.0
        """Of the consistency term; 0 switches the method off."""
        temperature: Positive = 0.5
        """T of Sharpen."""
        attention: Natural = 128
        """Channels of keys and queries."""
        present: Share = 0.5
        """Least probability of a class that an unlabeled frame is taken to show."""
        cutout: Share = 0.0975
        """Half of the side of the box that is cut out, as a share of the crop's side (released: 50 of 513)."""

    config: Config
    maps: ClassMaps
    OFF = {"weight": 0.0}
    OPEN = {"present": 0.0}

    def views(self) -> list[View]:
        return [View("v1_0", "unlabeled", RANDOM), View("v1_0_p", "unlabeled", Copy("v1_0", JITTER))]

    def build(self, network: Network) -> nn.Module | None:
        with parts.seeded(key_seed(network.seed, "pseudoseg")):
            self.maps = parts.ClassMaps(network.backbone.channels[-1], network.num_classes, self.config.attention)
        return self.maps

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """L_x of the classifier and L_sa of the self-attention, on labels; weight * L_u."""
        return {
            "labels": self._labels(network, batch),
            "pseudo": self.config.weight * self._consistency(network, batch),
        }

    def _labels(self, network: Network, batch: Batch) -> Tensor:
        """The classifier teaches the backbone too; self-attention (L_sa) teaches itself alone."""
        label_bhw = batch.labels["v0_0"]
        x_bchw = network.backbone(batch.views["v0_0"])[-1]
        classes = torch.arange(network.num_classes, device=label_bhw.device)
        present_bk = (label_bhw[:, None] == classes[:, None, None]).flatten(2).any(2)
        refined_bkhw = self.maps.refine(self.maps.grad_cam(x_bchw, present_bk), x_bchw)
        logits_bkhw = upsample(refined_bkhw, network.backbone.strides[-1], label_bhw.shape[-2:])
        attention = cross_entropy(logits_bkhw, label_bhw, "valid", batch.class_weights)
        return parts.presence_loss(self.maps.classify(x_bchw), present_bk) + attention

    def _consistency(self, network: Network, batch: Batch) -> Tensor:
        """L_u, on maps of the decoder's size as in the released code; what is cut out does not count."""
        with torch.no_grad():
            target_bkhw = self._pseudo_label(network, batch.views["v1_0"])
        base.guess(batch, "v1_0", target_bkhw.argmax(1))
        strong_b3hw = batch.views["v1_0_p"]
        b, _, h, w = strong_b3hw.shape
        cut_bhw = boxes((h, w), b, self.config.cutout).to(strong_b3hw.device)
        seen_b3hw = strong_b3hw.masked_fill(cut_bhw[:, None], 0.0)  # the mean colour, once normalised
        logits_bkhw = network.classify(network.features(seen_b3hw))
        counts_bhw = 1 - F.interpolate(cut_bhw[:, None].to(seen_b3hw.dtype), logits_bkhw.shape[-2:])[:, 0]
        return soft_cross_entropy(logits_bkhw, target_bkhw, counts_bhw, batch.pseudo_weights)

    def _pseudo_label(self, network: Network, weak_b3hw: Tensor) -> Tensor:
        """Of the plain frame, at the size of the decoder's map; one pass serves decoder and classifier."""
        maps = network.backbone(weak_b3hw)
        decoder_bkhw = base.clean_logits(network, network.decode_head.features(maps))
        present_bk = self.maps.classify(maps[-1]).sigmoid() >= self.config.present
        refined_bkhw = self.maps.refine(self.maps.grad_cam(maps[-1], present_bk), maps[-1])
        size, stride = decoder_bkhw.shape[-2:], network.backbone.strides[-1]
        return fused(decoder_bkhw, upsample(refined_bkhw, stride, size, network.stride), self.config.temperature)
