"""Blend: our own method. Rare classes of labeled clips are pasted into unlabeled frames, and a teacher labels the rest.

A few labels fix the large classes and leave the small ones to chance, and pseudo labels then repeat the chance. So:

- the average of the weights over steps is what is kept (mean teacher; Tarvainen and Valpola, NeurIPS 2017). For the
  reference branch it labels the plain view of an unlabeled frame; for the update branch the finished reference branch
  does, which sees finer maps and makes other mistakes;
- half of the classes of a labeled frame, or of another clip's frame, are pasted into the strong view, as in ClassMix
  (Olsson et al., WACV 2021), but rare classes are chosen more often: where the donor is labeled, the pasted pixels are
  true in a place where the network never saw them;
- every pseudo-labeled pixel counts in full: a threshold of few labels drops the small classes first, and a weight by
  confidence gained nothing;
- it begins at once: where the teacher still learns, the pasted pixels, whose labels are true, lead.

Letters as in core/records.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ifrkit.core.bounds import Count, Share
from ifrkit.core.lazy import F, torch
from ifrkit.core.precision import at_least_float32
from ifrkit.core.records import IGNORE
from ifrkit.data.loading.views import RANDOM, Copy, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods import base
from ifrkit.methods._mean_teacher import MeanTeacher
from ifrkit.methods._mixing import mix, partners
from ifrkit.models import parts
from ifrkit.models.losses import ramp_up, upsample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network

JITTER = (0.4, 0.4, 0.4, 0.1)


def chosen_classes(label_bhw: Tensor, weight_k: Tensor) -> Tensor:
    """(b, h, w) bool: True on half (rounded up) of the classes that a label map shows; heavy ones are likelier.

    Drawn without replacement with odds weight_k (Efraimidis and Spirakis, 2006); a class of weight 0 comes last.
    """
    classes = torch.arange(len(weight_k), device=label_bhw.device)
    present_bk = (label_bhw[:, None] == classes[:, None, None]).flatten(2).any(2)
    keys_bk = torch.rand(present_bk.shape, device=label_bhw.device).log() / weight_k.clamp(min=1e-6)
    rank_bk = keys_bk.masked_fill(~present_bk, -torch.inf).argsort(1, descending=True).argsort(1)
    chosen_bk = present_bk & (rank_bk < (present_bk.sum(1, keepdim=True) + 1) // 2)
    known_bhw = label_bhw.clamp(0, len(weight_k) - 1)
    return chosen_bk.gather(1, known_bhw.flatten(1)).view_as(label_bhw) & (label_bhw == known_bhw)


def weighted_cross_entropy(logits_bkhw: Tensor, label_bhw: Tensor, weight_bhw: Tensor) -> Tensor:
    """Mean over all pixels of weight * cross entropy; 255 = ignore. weight: >= 0."""
    ce_bhw = F.cross_entropy(at_least_float32(logits_bkhw), label_bhw, ignore_index=IGNORE, reduction="none")
    return (ce_bhw * weight_bhw).mean()


def weight_of(label_bhw: Tensor, weight_k: Tensor | None) -> Tensor:
    """(b, h, w): the weight of each pixel's class; 1 where there are none and where the label is 255."""
    if weight_k is None:
        return torch.ones_like(label_bhw, dtype=torch.float32)
    return torch.where(label_bhw == IGNORE, 1.0, weight_k[label_bhw.clamp(max=len(weight_k) - 1)])


class Method(MeanTeacher):
    """One term, on blended strong views of unlabeled frames."""

    class Config(MeanTeacher.Config):
        """Found on CamVid's training and validation sequences and on the synthetic street (docs/results.md)."""

        export: Literal["student", "ema"] = "ema"
        start: Count = 0
        """The first step with the term."""
        ramp_up: Count = 50
        """Steps over which its weight grows from then on."""
        teacher: Literal["reference", "own"] = "reference"
        """Who labels the frames. reference: the branches that come through the pipe, else, for the update branch, the
        reference branch of the same run; where there is neither, and with `own`, the average of its weights."""
        labeled: Share = 1.0
        """Share of frames that are pasted into from a labeled frame; the others from an unlabeled one."""

        def welcome(self) -> tuple[str, ...]:
            return ("branches",) if self.teacher == "reference" else ()

    config: Config
    OPEN = {"start": 0}

    def build(self, network: Network) -> nn.Module | None:
        own = super().build(network)
        if self.trained is None or self.config.teacher == "own":
            self.labeler = self.teacher
            return own
        self.labeler = parts.Teacher(self.trained, decay=1.0, warm=False)
        return torch.nn.ModuleDict({"average": self.teacher, "labeler": self.labeler})

    def views(self) -> list[View]:
        strong = Copy("v1_0", Jitter(*JITTER, blur_probability=0.3))
        return [View("v1_0", "unlabeled", RANDOM), View("v1_0_b", "unlabeled", strong)]

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """weight * ramp-up * mean of class weight * CE(student(blended view), blended label)."""
        c = self.config
        if step < c.start:
            return {}
        weak_b3hw, strong_b3hw = batch.views["v1_0"], batch.views["v1_0_b"]
        label_bhw = self.labeler.logits(weak_b3hw, network).argmax(1)
        base.guess(batch, "v1_0", label_bhw)
        odds_k = batch.class_weights
        if odds_k is None:
            odds_k = torch.ones(network.num_classes, device=label_bhw.device)
        weight_bhw = weight_of(label_bhw, batch.pseudo_weights)
        own = strong_b3hw, label_bhw, weight_bhw
        given = [x[partners(batch.clips["unlabeled"])] for x in own]
        known_bhw = batch.labels["v0_0"]
        true = batch.views["v0_0"], known_bhw, weight_of(known_bhw, batch.class_weights)
        from_true_b = torch.rand(len(label_bhw), device=label_bhw.device) < c.labeled
        donor = [
            torch.where(from_true_b.view(-1, *(1,) * (x.dim() - 1)), t, x) for t, x in zip(true, given, strict=True)
        ]
        mask_bhw = chosen_classes(donor[1], odds_k)
        seen_b3hw, label_bhw, weight_bhw = (mix(x, other, mask_bhw) for x, other in zip(own, donor, strict=True))
        logits_bkhw = upsample(network.classify(network.features(seen_b3hw)), network.stride, seen_b3hw.shape[-2:])
        loss = weighted_cross_entropy(logits_bkhw, label_bhw, weight_bhw)
        return {"blend": c.weight * ramp_up(step - c.start, c.ramp_up) * loss}
