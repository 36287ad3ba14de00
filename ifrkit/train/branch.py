"""Stage one as a task of the loop: a network, the methods beside it, their batches and the validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load
from ifrkit.core.records import IGNORE
from ifrkit.data.loading import loader
from ifrkit.data.loading.batch import Batch, Guess, RawBatch, View
from ifrkit.data.pixels.augment import normalise
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.pseudo import PseudoLabels
from ifrkit.media.pictures import Rgb
from ifrkit.methods.base import Method
from ifrkit.metrics.base import ClipResult
from ifrkit.models.losses import Mean, cross_entropy, upsample
from ifrkit.models.network import Network
from ifrkit.models.tta import probabilities
from ifrkit.train import distributed
from ifrkit.train.clips import val_picture
from ifrkit.train.loop import Task
from ifrkit.train.optim import branch_sgd, poly
from ifrkit.train.passes import count_passes


class BranchLosses(nn.Module):
    """The network with its methods: the supervised term and theirs, Eqs. (1) and (2)."""

    def __init__(self, network: Network, methods: Mapping[str, Method], ce_mean: Mean) -> None:
        super().__init__()
        self.network, self.methods, self.ce_mean = network, dict(methods), ce_mean
        built = {name: method.build(network) for name, method in methods.items()}
        self.extra = nn.ModuleDict({name: module for name, module in built.items() if module is not None})
        self.truth: dict[str, Tensor] = {}
        """Labels (b, h, w) uint8 of views that methods label themselves; 255: none. Never shown to a method."""
        self.judged: dict[str, Tensor] = {}
        """Pixels of each method's guesses, summed: (right, sure enough to count, with a known label)."""
        self.first_pass = ["v0_0", *dict.fromkeys(view for m in methods.values() for view in m.joint_views())]
        self.pace = 1.0
        """How many steps the schedules of the methods advance in one step of training."""

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted scalar terms: "sup", and "METHOD.TERM" of each method."""
        images = [batch.views[name] for name in self.first_pass]
        maps = self.network.features(torch.cat(images)).chunk(len(images))
        features = dict(zip(self.first_pass, maps, strict=True))
        label_bhw = batch.labels["v0_0"]
        logits_bkhw = upsample(self.network.classify(features["v0_0"]), label_bhw.shape[-2:])
        terms = {"sup": cross_entropy(logits_bkhw, label_bhw, self.ce_mean)}
        for name, method in self.methods.items():
            own = replace(batch, guesses={})
            losses = method.losses(self.network, own, features, int(step * self.pace))
            terms |= {f"{name}.{term}": loss for term, loss in losses.items()}
            batch.guesses |= own.guesses
            self._judge(name, own.guesses)
        return terms

    @torch.no_grad()
    def _judge(self, method: str, guesses: Mapping[str, Guess]) -> None:
        for view in guesses.keys() & self.truth.keys():
            label_bhw, counts_bhw = guesses[view]
            truth_b1hw = self.truth[view][:, None].to(label_bhw.device, torch.float32)
            truth_bhw = F.interpolate(truth_b1hw, label_bhw.shape[-2:], mode="nearest-exact")[:, 0].long()
            known = truth_bhw != IGNORE
            counts = known if counts_bhw is None else known & counts_bhw
            found = torch.stack([(counts & (label_bhw == truth_bhw)).sum(), counts.sum(), known.sum()])
            self.judged[method] = self.judged.get(method, 0) + found


def merged_views(methods: Mapping[str, Method], unlabeled: Literal["all", "annotated"] = "all") -> list[View]:
    """The labeled frame and every view of the methods, each once.

    unlabeled: which frame of an unlabeled clip a "random" one is. Raises ConfigError if two views of one name differ,
    and if several frames of a clip are wanted where there is only one.
    """
    views = {"v0_0": View("v0_0")}
    for name, method in methods.items():
        for view in method.views():
            if views.setdefault(view.name, view) != view:
                raise ConfigError(
                    f"--ssl {name}: wants another view {view.name} than the methods before it", "drop one"
                )
    if unlabeled == "all":
        return list(views.values())
    drawn = [v for v in views.values() if v.pool == "unlabeled" and not (v.distort_of or v.overlap_of)]
    if len(drawn) > 1:
        fault = (
            f"--ssl {','.join(methods)} wants {len(drawn)} frames of each unlabeled clip, unlabeled=annotated has one"
        )
        raise ConfigError(fault, "use unlabeled=all")
    return [replace(view, frame="annotated") if view.pool == "unlabeled" else view for view in views.values()]


class BranchTask(Task):
    """One branch to train."""

    module: BranchLosses
    select = "miou"

    def __init__(
        self,
        network: Network,
        config: TrainBranchesConfig,
        store: ClipStore,
        labeled: Sequence[int],
        device: torch.device,
        pseudo: PseudoLabels | None = None,
    ) -> None:
        methods = {name: load("methods", name)(options) for name, options in config.method.items()}
        self.config, self.store, self.labeled, self.device, self.pseudo = config, store, labeled, device, pseudo
        self.network, self.methods, self.views = network, methods, merged_views(methods, config.unlabeled)
        self.module = BranchLosses(network, methods, config.ce_mean).to(device)
        own = [optimizer for method in methods.values() if (optimizer := method.optimizer())]
        self.optimizers = [branch_sgd(self.module, config.sgd, own), *own]
        self.own_rates = [group["lr"] for optimizer in own for group in optimizer.param_groups]
        self.images = config.loop.batch * len(self.views)
        self.steps = config.loop.steps
        self.guessed: tuple[str, ...] = ()
        probe = self.to_device(next(iter(self._batches(0, 1, workers=0))))
        self.passes = count_passes(self.module, probe)
        self.guessed = tuple(probe.guesses)
        if config.budget == "passes":
            self.steps = max(1, round(self.steps / self.passes.cost))
            self.module.pace = config.loop.steps / self.steps  # ramp-ups shrink too, as the poly rule does

    def lrs(self, step: int) -> list[float]:
        sgd = self.config.sgd
        common = [(sgd.lr_backbone, sgd.min_lr), (sgd.lr_head, sgd.min_lr)]
        own = [(rate, 0.0) for rate in self.own_rates]
        return [poly(base, minimum, sgd.power, step, self.steps) for base, minimum in common + own]

    def batches(self, start: int, stop: int) -> Iterable[RawBatch]:
        return self._batches(start, stop, self.config.runtime.workers)

    def _batches(self, start: int, stop: int, workers: int) -> Iterable[RawBatch]:
        config = self.config
        return loader.view_batches(
            self.store,
            self.labeled,
            self.store.clips_of("train"),
            self.views,
            config.crop,
            config.loop.batch,
            config.seed,
            start,
            stop,
            config.loop.accumulate,
            distributed.rank(),
            distributed.world(),
            workers,
            self.pseudo,
            self.guessed,
        )

    def to_device(self, item: RawBatch) -> Batch:
        self.module.truth = item.truth
        return loader.to_device(item, self.views, self.device)

    def notes(self) -> dict[str, Any]:
        """Accuracy of each method's pseudo labels, and the share of pixels that were sure enough to count."""
        judged, self.module.judged = self.module.judged, {}
        sums = distributed.summed({name: found.cpu().numpy() for name, found in judged.items()})
        notes = {}
        for name, (right, counted, known) in sums.items():
            if known:
                notes[name] = {"accuracy": right / counted if counted else None, "share": counted / known}
        return {"pseudo": notes} if notes else {}

    def stepped(self, step: int) -> None:
        for method in self.methods.values():
            method.stepped(self.network, step)

    @property
    def exported(self) -> Network:
        """What is validated and saved: the network, unless a method (the first that has one) names its teacher."""
        others = (method.exported(self.network) for method in self.methods.values())
        return next((other for other in others if other is not self.network), self.network)

    def validate(self) -> dict[str, float]:
        """mIoU of the val split: annotated frames, whole images."""
        metric = load("metrics", "miou")(self.network.num_classes)
        exported = partial(probabilities, self.exported)
        val = [c for c in self.store.clips_of("val") if self.store.clips[c].annotated is not None]
        mine = val[distributed.rank() :: distributed.world()]
        for clips in _chunks(mine, self.config.loop.batch):
            frames = [(clip, self.store.clips[clip].annotated or 0) for clip in clips]
            ids_bhw, _ = predict(exported, self.store, frames, self.device)
            for (clip, index), ids_hw in zip(frames, ids_bhw, strict=True):
                label_hw = self.store.label(clip, index, hidden=True)
                metric.update(ClipResult(self.store.clips[clip].name, {index: ids_hw}, {index: label_hw}))
        metric.counts = distributed.summed(metric.counts)
        miou = metric.compute()[metric.headline]
        return {} if miou is None else {"miou": miou}

    def picture(self) -> Rgb | None:
        exported = partial(probabilities, self.exported)
        return val_picture(self.store, lambda *place: predict(exported, self.store, [place], self.device)[0][0])

    def state(self) -> dict[str, Tensor]:
        """The plain network: what a method adds is for training only."""
        return self.exported.state_dict()


@torch.no_grad()
def predict(
    classify: Callable[[Tensor], Tensor],
    store: ClipStore,
    frames: Sequence[tuple[int, int]],
    device: torch.device,
) -> tuple[
    np.ndarray[tuple[int, int, int], np.dtype[np.uint8]], np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
]:
    """Class ids (b, h, w) uint8 and their probabilities (b, h, w) float32 of whole frames (clip, position).

    classify: normalised images (b, 3, h, w) -> (b, k, h, w), of a network in eval mode.
    """
    images = np.stack([store.frame(clip, index) for clip, index in frames])
    images_b3hw = normalise(torch.from_numpy(images).to(device).permute(0, 3, 1, 2))
    confidence_bhw, ids_bhw = classify(images_b3hw).max(1)
    return ids_bhw.to(torch.uint8).cpu().numpy(), confidence_bhw.cpu().numpy()


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
