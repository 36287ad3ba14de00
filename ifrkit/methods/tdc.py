"""TDC, the temporally dependent classifier (Zhuang et al., CVPR 2024).

Each frame of an unlabeled clip is classified not only by learned class vectors but also by the class means of the frame
before it (and, in a second chain, after it). Labels are the network's own. A training-time helper: the exported network
keeps its plain classifier. Prototypes are those of IFR, of each frame alone.

The released network has no ReLU in its head, so features may be negative; here the feature before the last ReLU takes
that place, and the classifier of the common base stays as it is. Image passes: one for the labeled frame, two for each
frame of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from ifrkit.core.bounds import Count, NotNegative
from ifrkit.core.lazy import F, nn, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.data.loading.views import Copy, Draw, Frames, Place, Placement, View
from ifrkit.methods import base
from ifrkit.methods._prototypes import class_prototypes
from ifrkit.models.losses import ramp_up

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

EPSILON = 1e-6


@dataclass(frozen=True)
class InOrder(Placement):
    """Frame `number` of `count` drawn from the clip, in the order of time; all are mirrored like the first, `of`."""

    number: int
    count: int
    of: str | None = None

    def fits(self, frames: Frames, before: Sequence[View]) -> bool:
        return len(frames.shown) >= self.count

    def draw(self, view: View, draw: Draw) -> Place:
        order = draw.key.rng("sorted", view.pool).permutation(len(draw.frames.shown))
        frame = draw.frames.shown[int(sorted(order[: self.count])[self.number])]
        return draw.place(view, frame) if self.of is None else draw.places[self.of]._replace(frame=frame)


def cosines(features_bchw: Tensor, vectors_kc: Tensor) -> Tensor:
    """(b, k, h * w), at least float32, under autocast too. vectors: (k, c), or (b, k, c) of each image."""
    with torch.autocast(features_bchw.device.type, enabled=False):
        features_bcp = F.normalize(at_least_float32(features_bchw).flatten(2), dim=1)
        return F.normalize(at_least_float32(vectors_kc), dim=-1) @ features_bcp


def joint_probability(
    features_bchw: Tensor, g_kc: Tensor, sigma_g: Tensor, prototypes_bkc: Tensor, present_bk: Tensor, sigma_l: Tensor
) -> Tensor:
    """(b, k, h, w): one softmax over the global vectors and the local means that are present, then both parts added.

    p_c ~ exp(sigma_g cos(s, g_c)) + [c present] exp(sigma_l cos(s, P_c)).
    """
    of_globals = sigma_g * cosines(features_bchw, g_kc)
    of_locals = sigma_l * cosines(features_bchw, prototypes_bkc)
    lowest = torch.finfo(of_locals.dtype).min
    of_locals = of_locals.masked_fill(~present_bk[:, :, None], lowest)
    both_bkp = torch.cat([of_globals, of_locals], 1).softmax(1)
    b, _, h, w = features_bchw.shape
    return (both_bkp[:, : len(g_kc)] + both_bkp[:, len(g_kc) :]).view(b, len(g_kc), h, w)


def temporal_loss(
    weak: Sequence[Tensor],
    strong: Sequence[Tensor],
    labels: Sequence[Tensor],
    g_kc: Tensor,
    sigma_g: Tensor,
    sigma_l: Tensor,
) -> Tensor:
    """L_u: half the sum of the forward and the backward chain over the frames of a clip, -log(1e-6 + p_y) of each.

    weak, strong: features (b, c, h, w) of each frame, in order of time. labels: (b, h, w) of the weak ones.
    Prototypes carry gradients to the weak features; only the labels are cut off.
    """
    means = [class_prototypes(f, label, len(g_kc), pool="clip") for f, label in zip(weak, labels, strict=True)]
    total = g_kc.new_zeros(())
    for order in (range(len(weak)), range(len(weak) - 1, -1, -1)):
        before = None
        for frame in order:
            if before is None:  # the chain begins with the global vectors alone
                total = total + F.cross_entropy(sigma_g * cosines(strong[frame], g_kc), labels[frame].flatten(1))
            else:
                p_bkhw = joint_probability(strong[frame], g_kc, sigma_g, *means[before], sigma_l)
                total = total - (EPSILON + p_bkhw.gather(1, labels[frame][:, None])).log().mean()
            before = frame
    return total / 2


class Method(base.Method):
    """One term over a few frames of an unlabeled clip."""

    class Config(base.Method.Config):
        """Constants of the released code."""

        weight: NotNegative = 0.2
        """Of the mean over five frames: with another number the term, a sum over frames, is scaled."""
        frames: Annotated[int, Meta(ge=2)] = 5
        """Frames of a clip, in the order of time; three cost 7 passes instead of 11."""
        ramp_up: Count = 4000

    config: Config
    OFF = {"weight": 0.0}

    def views(self) -> list[View]:
        count = self.config.frames
        weak = [View(f"t{i}", "unlabeled", InOrder(i, count, "t0" if i else None)) for i in range(count)]
        return [*weak, *(View(f"{view.name}_s", "unlabeled", Copy(view.name)) for view in weak)]

    def build(self, network: Network) -> nn.Module | None:
        conv = network.decode_head.conv_seg
        self.g = nn.Parameter(conv.weight.detach()[:, :, 0, 0].clone())
        self.sigmas = nn.Parameter(torch.ones(2))  # no tenfold rate for these in the released code
        return nn.ModuleDict({"g": nn.ParameterList([self.g]), "slow": nn.ParameterList([self.sigmas])})

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """weight * ramp-up * the temporal loss; all weak frames in one pass, all strong ones in another."""
        c = self.config
        names = [f"t{i}" for i in range(c.frames)]
        weak_bchw = network.before_relu(torch.cat([batch.views[name] for name in names]))
        strong_bchw = network.before_relu(torch.cat([batch.views[f"{name}_s"] for name in names]))
        with torch.no_grad():  # dropout is active, as in the released code
            labels_bhw = network.classify(weak_bchw.relu()).argmax(1)
        for name, label_bhw in zip(names, labels_bhw.chunk(c.frames), strict=True):
            base.guess(batch, name, label_bhw)
        weak, strong, labels = (part.chunk(c.frames) for part in (weak_bchw, strong_bchw, labels_bhw))
        loss = temporal_loss(weak, strong, labels, self.g, self.sigmas[0], self.sigmas[1])
        return {"temporal": c.weight * 5 / c.frames * ramp_up(step, c.ramp_up) * loss}
