"""CAC, directional context-aware consistency (Lai et al., CVPR 2021).

Two overlapping crops of a frame see the same pixels in other surroundings. Where both see a pixel, the feature of the
less confident view is drawn to that of the more confident one, away from pixels with another pseudo label.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from ifrkit.core.bounds import Count, Natural, NotNegative, Positive
from ifrkit.core.keyed import key_seed
from ifrkit.core.lazy import F, nn, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.data.loading.views import RANDOM, Copy, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.methods._overlap import Overlapping, overlap
from ifrkit.models import parts

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

EPSILON = 1e-8
CHUNK = 8000
"""Columns of the bank that are compared at a time. None of it is kept: the backward pass computes it again."""
JITTER = (0.4, 0.4, 0.4, 0.1)


class Pixels(NamedTuple):
    """Some pixels of one view: embeddings (n, d) of length 1, pseudo labels (n,), confidences (n,)."""

    embeddings: Tensor
    labels: Tensor
    confidences: Tensor


def directional_loss(
    anchors: Pixels, positives: Pixels, bank: Pixels, temperature: float = 0.1, threshold: float = 0.75
) -> Tensor:
    """l_dc: mean over M of -log(r(phi_1, phi_2) / (r(phi_1, phi_2) + sum_n r(phi_1, phi_n))), r = exp(cos / temp.).

    Eq. (1), without negatives of the same label and unsure pairs. M: anchors whose positive (same pixel of the other
    view) is the surer one, and sure enough. n: pixels of the bank with another pseudo label. No gradient passes to
    positives and bank. The released code's small constants cap the loss at 18.4 and quieten the worst anchors.
    """
    rows, columns = anchors.embeddings, bank.embeddings.detach()
    again = partial(torch.utils.checkpoint.checkpoint, use_reentrant=False)
    with torch.autocast(rows.device.type, enabled=False):  # rounded cosines, divided by 0.1, would be off by 4 %
        positive_n = (rows * positives.embeddings.detach()).sum(1) / temperature
        largest_n = torch.maximum(positive_n, again(lambda: (rows @ columns[:CHUNK].T / temperature).amax(1)))
        up_n = (positive_n - largest_n).exp()
        down_n = torch.zeros_like(up_n)
        for part in (slice(start, start + CHUNK) for start in range(0, len(columns), CHUNK)):
            labels = anchors.labels, bank.labels[part]
            down_n = down_n + again(_negatives, rows, columns[part], *labels, largest_n, temperature)
    loss_n = -(up_n / (up_n + down_n + EPSILON) + EPSILON).log()
    counts_n = (positives.confidences > threshold) & (anchors.confidences < positives.confidences)  # M
    return (loss_n * counts_n).sum() / (counts_n.sum() + 1e-12)


def _negatives(
    rows_nd: Tensor, columns_md: Tensor, labels_n: Tensor, labels_m: Tensor, largest_n: Tensor, temperature: float
) -> Tensor:
    similarity_nm = (rows_nd @ columns_md.T / temperature - largest_n[:, None]).exp()
    return (similarity_nm * (labels_n[:, None] != labels_m)).sum(1)


class Method(base.Method):
    """One term, in both directions."""

    class Config(base.Method.Config):
        """Constants of the released Cityscapes runs."""

        weight: NotNegative = 0.1
        threshold: Annotated[float, Meta(ge=-1)] = 0.75
        temperature: Positive = 0.1
        start: Count = 2500
        """First step with the term: 1/16 of the training."""
        embedding: Natural = 128
        """Channels of the projector's output."""
        scale: tuple[Positive, Positive] = (1.0, 1.0)
        """Both views are cut from a frame enlarged by a factor from this range. Released: 0.8 to 2."""
        downsample: Natural = 1
        """Maps are pooled by this first. Released: 2 with DeepLabv3+, whose maps are at 1/4."""

    config: Config
    OFF = {"weight": 0.0}
    OPEN = {"threshold": -1.0, "start": 0}

    def views(self) -> list[View]:
        strong = Jitter(*JITTER, blur=(1.1, 1.1))  # OpenCV's 5x5 window has this spread
        return [
            View("v1_0", "unlabeled", RANDOM),
            View("v1_0_o", "unlabeled", Overlapping("v1_0", self.config.scale, self.config.downsample)),
            View("v1_0_a", "unlabeled", Copy("v1_0", strong)),
            View("v1_0_b", "unlabeled", Copy("v1_0_o", strong)),
        ]

    def build(self, network: Network) -> nn.Module | None:
        c, out = network.feature_channels, self.config.embedding
        with parts.seeded(key_seed(network.seed, "cac")):
            self.projector = nn.Sequential(nn.Conv2d(c, c, 1), nn.ReLU(), nn.Conv2d(c, out, 1))
        return self.projector

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """lambda L_dc: weight * (l_dc of view a towards b + l_dc of b towards a)."""
        c = self.config
        if step < c.start:  # as the released code, without the passes; ranks wait for a gradient of the projector
            return {"context": torch.stack([0 * p.sum() for p in self.projector.parameters()]).sum()}
        a, b = self._pixels(network, batch, "v1_0_a", "v1_0"), self._pixels(network, batch, "v1_0_b", "v1_0_o")
        places = zip(batch.places["v1_0"], batch.places["v1_0_o"], strict=True)
        cuts = [overlap(*pair, a.labels.shape[-2:], network.stride * c.downsample) for pair in places]
        first, second = _cut(a, [here for here, _ in cuts]), _cut(b, [there for _, there in cuts])
        whole = [(slice(None), slice(None))] * len(cuts)
        bank = Pixels(*(torch.cat(both) for both in zip(_cut(a, whole), _cut(b, whole), strict=True)))
        loss = directional_loss(first, second, bank, c.temperature, c.threshold)
        loss = loss + directional_loss(second, first, bank, c.temperature, c.threshold)
        return {"context": c.weight * loss}

    def _pixels(self, network: Network, batch: Batch, name: str, source: str) -> Pixels:
        """Maps (b, ., h/stride, w/stride) of a view, mirrored images turned back."""
        f_bchw = network.features(batch.views[name])
        turned = torch.tensor([[[place.mirrored]] for place in batch.places[source]], device=f_bchw.device)
        f_bchw = F.avg_pool2d(torch.where(turned[:, None], f_bchw.flip(-1), f_bchw), self.config.downsample)
        with torch.no_grad():
            confidence_bhw, label_bhw = at_least_float32(network.classify(f_bchw)).softmax(1).max(1)
            seen_bhw, sure_bhw = (torch.where(turned, x.flip(-1), x) for x in (label_bhw, confidence_bhw))
            base.guess(batch, source, seen_bhw, sure_bhw > self.config.threshold)
        with torch.autocast(f_bchw.device.type, enabled=False):
            embedding_bdhw = F.normalize(self.projector(at_least_float32(f_bchw)), dim=1)
        return Pixels(embedding_bdhw, label_bhw, confidence_bhw)


def _cut(maps: Pixels, cuts: Sequence[tuple[slice, slice]]) -> Pixels:
    """Pixels of a window (rows, columns) of each image: maps (b, [d,] h, w) -> (n, [d])."""
    cut = ([_flat(x[i : i + 1, ..., rows, columns]) for i, (rows, columns) in enumerate(cuts)] for x in maps)
    return Pixels(*(torch.cat(part) for part in cut))


def _flat(x: Tensor) -> Tensor:
    """(b, d, h, w) -> (b h w, d); (b, h, w) -> (b h w,)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2) if x.dim() == 4 else x.flatten()
