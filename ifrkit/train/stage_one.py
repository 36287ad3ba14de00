"""Stage one as a task of the loop: a network, the methods beside it, their batches and the validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load
from ifrkit.data.loading import loader
from ifrkit.data.loading.batch import Batch, RawBatch
from ifrkit.data.loading.stream import Span
from ifrkit.data.loading.views import Frames, LabelSource, View, fits
from ifrkit.data.store.clips import ClipStore
from ifrkit.media.pictures import Rgb
from ifrkit.methods.base import Method
from ifrkit.metrics.base import Ids
from ifrkit.models.network import Network
from ifrkit.train import validation
from ifrkit.train.judging import Judge
from ifrkit.train.loop import Task
from ifrkit.train.losses import BranchLosses
from ifrkit.train.optim import branch_sgd, poly
from ifrkit.train.passes import Passes, count_passes
from ifrkit.train.spans import span_of


def merged_views(methods: Mapping[str, Method], unlabeled: Literal["all", "annotated"] = "all") -> list[View]:
    """The labeled frame and every view of the methods, each once.

    unlabeled: the frames of an unlabeled clip that are shown. Raises ConfigError if two views of one name differ, and
    if several frames of a clip are wanted where only one is shown.
    """
    views = {"v0_0": View("v0_0")}
    for name, method in methods.items():
        for view in method.views():
            if views.setdefault(view.name, view) != view:
                raise ConfigError(
                    f"--ssl {name}: wants another view {view.name} than the methods before it", "drop one"
                )
    if unlabeled == "annotated" and not fits([v for v in views.values() if v.pool == "unlabeled"], Frames([0], 0)):
        fault = f"--ssl {','.join(methods)} wants several frames of each unlabeled clip, unlabeled=annotated shows one"
        raise ConfigError(fault, "use unlabeled=all")
    return list(views.values())


class BranchTask(Task):
    """One branch to train. Nothing is read before `measured` or `batches`."""

    module: BranchLosses
    select = "miou"

    def __init__(
        self,
        network: Network,
        config: TrainBranchesConfig,
        store: ClipStore,
        labeled: Sequence[int],
        device: torch.device,
        sources: Mapping[str, LabelSource] | None = None,
    ) -> None:
        """labeled: clips whose label may be seen. sources: label sources by kind of artifact (pseudo labels)."""
        named = {name: load("methods", name)(options) for name, options in config.method.items()}
        self.methods: dict[str, Method] = {name: method for name, method in named.items() if method.on}
        self.config, self.network, self.device, self.judge = config, network, device, Judge()
        self.views = merged_views(self.methods, config.unlabeled)
        one_frame = config.unlabeled == "annotated"
        self.clips = loader.Clips(store, labeled, store.clips_of("train"), one_frame, sources or {})
        self.module = BranchLosses(network, self.methods, config.ce_mean, self.judge.hear).to(device)
        own = [optimizer for method in self.methods.values() if (optimizer := method.optimizer())]
        self.optimizers = [branch_sgd(self.module, config.sgd, own), *own]
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
        sgd = self.config.sgd
        common = [(sgd.lr_backbone, sgd.min_lr), (sgd.lr_head, sgd.min_lr)]
        own = [(rate, 0.0) for rate in self.own_rates]
        return [poly(base, minimum, sgd.power, step, self.steps) for base, minimum in common + own]

    def batches(self, start: int, stop: int) -> Iterable[RawBatch]:
        return self._batches(span_of(self.config, start, stop))

    def _batches(self, span: Span) -> Iterable[RawBatch]:
        return loader.view_batches(self.clips, self.views, self.config.crop, span, self.guessed)

    def to_device(self, item: RawBatch) -> Batch:
        self.judge.expect(item.truth)
        return loader.to_device(item, self.views, self.device, self.network.normalise)

    def notes(self) -> dict[str, Any]:
        """Accuracy of each method's pseudo labels, and the share of pixels that were sure enough to count."""
        return self.judge.notes()

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
        return validation.val_miou(self.clips.store, self.network.num_classes, self._predict, self.config.loop.batch)

    def picture(self) -> Rgb | None:
        return validation.val_picture(self.clips.store, self._predict)

    def _predict(self, frames: validation.Frames) -> Sequence[Ids]:
        return list(validation.predict_frames(self.exported, self.clips.store, frames, self.device)[0])

    def state(self) -> dict[str, Tensor]:
        """The plain network: what a method adds is for training only."""
        return self.exported.state_dict()
