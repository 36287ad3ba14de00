"""Stage one: each branch on its own, with semi-supervised methods beside the supervised loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.data.loading import loader, pools
from ifrkit.data.loading.batch import Batch, Guess, RawBatch
from ifrkit.data.loading.stream import Span
from ifrkit.data.loading.views import LabelSource
from ifrkit.data.store.class_pixels import class_pixels
from ifrkit.data.store.clips import ClipStore
from ifrkit.media.pictures import Rgb
from ifrkit.methods.base import Method
from ifrkit.metrics.base import Ids
from ifrkit.models.balance import class_weights, supervised_loss
from ifrkit.models.losses import upsample
from ifrkit.models.network import Network
from ifrkit.models.teacher import Teacher
from ifrkit.train import validation
from ifrkit.train.chosen import chosen_methods, merged_views
from ifrkit.train.judging import Judge
from ifrkit.train.layerwise import shares
from ifrkit.train.loop import Task
from ifrkit.train.optim import branch_optimizer, poly, warm
from ifrkit.train.passes import Passes, count_passes
from ifrkit.train.spans import span_of
from ifrkit.trained import load_into

Sources = Mapping[str, LabelSource | Network]
"""Kind of artifact -> written labels (pseudo-labels), or a trained network that teaches (branches)."""


def _ignore(method: str, guesses: Mapping[str, Guess]) -> None:
    pass


class BranchLosses(nn.Module):
    """The network with its methods: the supervised term and theirs, Eqs. (1) and (2).

    hear: is told what each method took for the labels of its views, by view.
    """

    def __init__(
        self,
        network: Network,
        methods: Mapping[str, Method],
        config: TrainBranchesConfig,
        hear: Callable[[str, Mapping[str, Guess]], None] = _ignore,
    ) -> None:
        super().__init__()
        self.network, self.methods, self.config, self.hear = network, dict(methods), config, hear
        built = {name: method.build(network) for name, method in methods.items()}
        self.extra = nn.ModuleDict({name: module for name, module in built.items() if module is not None})
        self.first_pass = ["v0_0", *dict.fromkeys(view for m in methods.values() for view in m.joint_views())]
        self.average = Teacher(network, config.ema, warm=True) if config.ema else None
        """The average of the weights that is saved, where there is one."""
        self.pace = 1.0
        """The methods' schedules count so many steps for each step of training."""

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted scalar terms: "sup", and "METHOD.TERM" of each method."""
        features = self.features(batch)
        label_bhw = batch.labels["v0_0"]
        logits_bkhw = upsample(self.network.classify(features["v0_0"]), self.network.stride, label_bhw.shape[-2:])
        c, weight_k = self.config, batch.class_weights
        terms = {"sup": supervised_loss(logits_bkhw, label_bhw, c.balance, c.ce_mean, weight_k)}  # Eq. (1)
        for name, method in self.methods.items():
            own = replace(batch, guesses={})
            losses = method.losses(self.network, own, features, int(step * self.pace))
            terms |= {f"{name}.{term}": loss for term, loss in losses.items()}  # Eq. (2)
            batch.guesses |= own.guesses
            self.hear(name, own.guesses)
        return terms

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """f of each view that goes through the network first."""
        images = [batch.views[name] for name in self.first_pass]
        maps = self.network.features(torch.cat(images)).chunk(len(images))
        return dict(zip(self.first_pass, maps, strict=True))


class BranchTask(Task):
    """One branch to train. Nothing is read before `measured` or `batches`."""

    module: BranchLosses
    losses = BranchLosses
    select = "miou"

    def __init__(
        self,
        network: Network,
        config: TrainBranchesConfig,
        store: ClipStore,
        labeled: Sequence[int],
        device: torch.device,
        sources: Sources | None = None,
    ) -> None:
        """labeled: clips whose label may be seen. sources: what methods read beside clips, by kind of artifact."""
        teacher = (sources or {}).get("branches")
        labels = {kind: source for kind, source in (sources or {}).items() if not isinstance(source, Network)}
        self.methods = chosen_methods(config)
        for method in self.methods.values():
            method.trained = teacher if isinstance(teacher, Network) else None
        self.config, self.network, self.device, self.judge = config, network, device, Judge()
        self.views = merged_views(self.methods, config.unlabeled)
        one_frame = config.unlabeled == "annotated"
        pixels_ck = class_pixels(store, labeled) if config.crop.rare or config.balance.by != "none" else None
        self.clips = pools.Clips(store, labeled, store.clips_of("train"), one_frame, labels, pixels_ck)
        self.crop = config.crop.fitted(store.size)
        weights_k = None if pixels_ck is None else class_weights(pixels_ck.sum(0), config.balance)
        self.class_weights = None if weights_k is None else torch.from_numpy(weights_k).to(device)
        power = config.balance.pseudo
        self.pseudo_weights = None if self.class_weights is None or not power else self.class_weights**power
        self.module = self.losses(network, self.methods, config, self.judge.hear).to(device)
        own = [optimizer for method in self.methods.values() if (optimizer := method.optimizer())]
        self.optimizers = [branch_optimizer(self.module, config, own), *own]
        self.own_rates = [group["lr"] for optimizer in own for group in optimizer.param_groups]
        self.images = config.loop.batch * len(self.views)
        self.steps, self.passes, self.guessed = config.loop.steps, Passes(0, 0), tuple[str, ...]()

    def measured(self) -> BranchTask:
        """This task, after a copy of the module has seen one batch.

        That tells how many image passes a step takes, which views the methods label themselves, and, with
        `budget: passes`, how many steps there are.
        """
        first = replace(span_of(self.config, 0, 1), workers=0)
        probe = self.to_device(next(iter(self._batches(first))))
        self.passes = count_passes(self.module, probe)
        self.guessed = tuple(probe.guesses)
        if self.config.budget == "passes":
            self.steps = max(1, round(self.steps / self.passes.cost))
            self.module.pace = self.config.loop.steps / self.steps  # ramp-ups shrink too, as the poly rule does
        return self

    def lrs(self, step: int) -> list[float]:
        c = self.config
        rates = c.adamw or c.sgd
        backbones = [(rates.lr_backbone * share, rates.min_lr * share) for share in shares(self.optimizers[0])]
        common = [*backbones, (rates.lr_head, rates.min_lr)]
        own = [(rate, 0.0) for rate in self.own_rates]
        start = warm(step, c.warmup)
        return [start * poly(base, minimum, rates.power, step, self.steps) for base, minimum in common + own]

    def batches(self, start: int, stop: int) -> Iterable[RawBatch]:
        return self._batches(span_of(self.config, start, stop))

    def _batches(self, span: Span) -> Iterable[RawBatch]:
        return loader.view_batches(self.clips, self.views, self.crop, span, self.guessed)

    def to_device(self, item: RawBatch) -> Batch:
        self.judge.expect(item.truth)
        batch = loader.to_device(item, self.views, self.device, self.network.normalise)
        batch.class_weights, batch.pseudo_weights = self.class_weights, self.pseudo_weights
        return batch

    def notes(self) -> dict[str, Any]:
        """Accuracy of each method's pseudo labels, and the share of pixels that were sure enough to count."""
        return self.judge.notes()

    def stepped(self, step: int) -> None:
        for method in self.methods.values():
            method.stepped(self.network, step)
        if self.module.average is not None:
            self.module.average.follow(self.network, step)

    @property
    def exported(self) -> Network:
        """What is validated and saved: the teacher that a method (the first that has one) names, the average, or it."""
        average = self.module.average
        others = (method.exported(self.network) for method in self.methods.values())
        own = self.network if average is None else average.network
        return next((other for other in others if other is not self.network), own)

    def validate(self) -> dict[str, float]:
        """mIoU of the val split: annotated frames, whole images."""
        return validation.val_miou(self.clips.store, self.network.num_classes, self._predict, self.config.loop.batch)

    def picture(self) -> Rgb | None:
        return validation.val_picture(self.clips.store, self._predict)

    def _predict(self, frames: validation.Frames) -> Sequence[Ids]:
        return list(validation.predict_frames(self.exported, self.clips.store, frames, self.device)[0])

    def state(self) -> dict[str, Tensor]:
        """The plain network: what a method adds is for training only."""
        return self.exported.state_dict()

    def use(self, weights: Path) -> None:
        """After training: take the weights of a file, to look with them."""
        load_into(self.exported, weights)
        self.exported.eval()

    def logits(self, clip: int, index: int) -> Tensor:
        """Logits (1, k, h, w) of a frame."""
        frame_13hw = torch.from_numpy(self.clips.store.frame(clip, index)).to(self.device).permute(2, 0, 1)[None]
        logits_1khw: Tensor = self.exported(self.exported.normalise(frame_13hw))
        return logits_1khw
