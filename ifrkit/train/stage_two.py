"""Stage two: the branches, the flow network and what an architecture adds become a video model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from ifrkit.artifacts.indexes import Branches, Flow
from ifrkit.artifacts.indexes import VideoModel as Index
from ifrkit.artifacts.job import Job
from ifrkit.config.train_fusion import PseudoClipsConfig, TrainFusionConfig
from ifrkit.core.keyed import key_seed
from ifrkit.core.plugins import load
from ifrkit.core.records import IGNORE
from ifrkit.data.loading.batch import ClipBatch
from ifrkit.data.loading.clip_loader import clip_batches
from ifrkit.data.loading.shots import ClipMode, Shot
from ifrkit.data.store.clips import ClipStore
from ifrkit.media.pictures import Rgb
from ifrkit.metrics.base import Ids
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.losses import upsample
from ifrkit.models.video import Phase, VideoModel
from ifrkit.train import distributed, validation
from ifrkit.train.calibration import temperatures
from ifrkit.train.flow import train_flow
from ifrkit.train.labeled import labeled_of
from ifrkit.train.loop import FitResult, Task, fit
from ifrkit.train.spans import span_of
from ifrkit.trained import load_branch, load_flow, load_into


def run(job: Job) -> None:
    """Train, and write model.json beside the weights."""
    config: TrainFusionConfig = job.config
    store, branches = ClipStore.of(job.input("clips")), job.input("branches")
    labeled = labeled_of(config, store, branches)
    architecture = load("architectures", config.arch)
    networks = [load_branch(branches, name, config.checkpoint) for name in architecture.branches]
    flow = _flow(job, store)
    model = architecture.build(*networks, flow, store.labels.num_classes, seed=key_seed(config.seed, "fusion"))
    if config.fusion_init == "average":
        model.average_merge()
    result, warmth = _train(job, model, store, labeled)
    trained = Branches.read(branches).branches
    index = Index(
        arch=config.arch,
        num_classes=store.labels.num_classes,
        networks={name: trained[name].network for name in architecture.branches},
        flow_width=_width(job),
        key_interval=config.key_interval,
        labeled=tuple(store.clips[clip].name for clip in labeled),
        temperature=warmth,
        **vars(result),
    )
    if distributed.rank() == 0:  # two that write one file take it from each other
        index.write(job.directory)
    job.metrics.update({"best": result.best, "last": result.last, "best_step": result.best_step})
    scores = [f"{100 * m['miou']:.2f}" if "miou" in m else "-" for m in (result.best, result.last)]
    title = f"Validation mIoU (%), key frame {config.key_interval - 1} before"
    job.display.table(
        title, ["model", "best", "at step", "last"], [[config.arch, scores[0], str(result.best_step), scores[1]]]
    )


def _train(job: Job, model: VideoModel, store: ClipStore, labeled: list[int]) -> tuple[FitResult, dict[str, float]]:
    """Each phase in turn, from the last weights of the one before it. The result, and the temperatures, of the last."""
    config: TrainFusionConfig = job.config
    device = distributed.local_device(job.device)
    *first, last = model.phases()
    for phase in first:
        task = FusionTask(model, config, store, labeled, device, phase)
        fit(task, loop=config.loop, seed=config.seed, job=job, name=phase.name, runtime=config.runtime)
        distributed.largest(0)  # rank 0 has written the file when it comes here
        load_into(task.kept, job.directory / f"{phase.name}.last.safetensors")
    task = FusionTask(model, config, store, labeled, device, last)
    result = fit(task, loop=config.loop, seed=config.seed, job=job, name=last.name, runtime=config.runtime)
    files = {kept: job.directory / f"{last.name}.{kept}.safetensors" for kept in ("best", "last")}
    return result, temperatures(store, files, task.use, task.logits, job.display)


def _flow(job: Job, store: ClipStore) -> FlowNetS:
    """The flow artifact's network, or one that is trained here first."""
    for artifact in job.inputs:
        if artifact.kind == "flow":
            return load_flow(artifact)
    job.display.info("no flow artifact of these clips: training flow first (`ifrkit train-flow` makes one to share)")
    return train_flow(job, replace(job.config.pretrain, runtime=job.config.runtime, seed=job.config.seed), store)[1]


def _width(job: Job) -> float:
    for artifact in job.inputs:
        if artifact.kind == "flow":
            return float(Flow.read(artifact).width)
    return float(job.config.pretrain.width)


class FusionBatch(NamedTuple):
    """One micro-batch: labeled clips, and as many unlabeled ones (with `ssl=pseudo`)."""

    labeled: ClipBatch
    unlabeled: ClipBatch | None = None


class FusionLosses(nn.Module):
    """The video model and the losses of a phase; those of unlabeled clips are called "pseudo.TERM"."""

    def __init__(self, model: VideoModel, phase: Phase, pseudo: PseudoClipsConfig | None = None) -> None:
        super().__init__()
        self.model, self.phase, self.pseudo = model, phase, pseudo
        # The classifier of stage one stays the teacher, though the model's own may train on.
        self.teacher = copy.deepcopy(model.reference.decode_head.conv_seg) if pseudo else None
        self.train()

    def train(self, mode: bool = True) -> FusionLosses:
        """What is frozen stays in eval mode."""
        super().train(mode)
        if mode:
            self.model.train_phase(self.phase)
            if self.teacher is not None:
                self.teacher.requires_grad_(False)
        return self

    def forward(self, batch: FusionBatch, step: int) -> dict[str, Tensor]:
        terms = self._terms(batch.labeled.frames_bt3hw, batch.labeled.label_bhw)
        if batch.unlabeled is not None and self.pseudo is not None:
            frames_bt3hw = batch.unlabeled.frames_bt3hw
            own = self._terms(frames_bt3hw, self.pseudo_label(frames_bt3hw[:, -1]))
            terms |= {f"pseudo.{name}": self.pseudo.weight * loss for name, loss in own.items()}
        return terms

    def _terms(self, frames_bt3hw: Tensor, label_bhw: Tensor) -> dict[str, Tensor]:
        terms = self.phase.losses(frames_bt3hw, label_bhw)
        if frames_bt3hw.shape[1] == 1:
            # A lone key frame uses the reference branch only; ranks wait for a gradient of every trained part.
            name = next(iter(terms))
            terms[name] = terms[name] + sum(0 * p.sum() for p in self.model.parameters() if p.requires_grad)
        return terms

    @torch.no_grad()
    def pseudo_label(self, frame_b3hw: Tensor) -> Tensor:
        """(b, h, w) int64: the class that the reference branch of stage one sees, 255 below the threshold."""
        assert self.teacher is not None
        assert self.pseudo is not None
        branch = self.model.reference
        logits_bkhw = self.teacher(branch.features(branch.normalise(frame_b3hw)))
        logits_bkhw = upsample(logits_bkhw, branch.stride, frame_b3hw.shape[-2:])
        confidence_bhw, label_bhw = logits_bkhw.softmax(1).max(1)
        return label_bhw.masked_fill(confidence_bhw < self.pseudo.threshold, IGNORE)


class FusionTask(Task):
    """A phase of a video model to train on these labeled clips (and on all training clips without their labels)."""

    def __init__(
        self,
        model: VideoModel,
        config: TrainFusionConfig,
        store: ClipStore,
        labeled: Sequence[int],
        device: torch.device,
        phase: Phase | None = None,
    ) -> None:
        """phase: of `model.phases()`; None: the last one."""
        self.config, self.store, self.labeled, self.device, self.model = config, store, labeled, device, model
        self.phase = phase or model.phases()[-1]
        self.final = self.phase.name == model.phases()[-1].name
        self.select = "miou" if self.final else None
        semi = config.ssl == "pseudo"
        self.module = FusionLosses(model, self.phase, config.pseudo if semi else None).to(device)
        trained = [p for p in model.parameters() if p.requires_grad]
        adam = config.adam
        optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(trained, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
            if self.phase.optimizer == "sgd"
            else torch.optim.Adam(trained, lr=adam.lr, weight_decay=adam.weight_decay)
        )
        self.optimizers = [optimizer]
        self.images = config.loop.batch * (self.phase.frames or config.key_interval) * (1 + semi)

    def lrs(self, step: int) -> list[float]:
        """Adam: a tenth in the second half. SGD: the released schedule, its first step included.

        There the rate is set after a step, so warm-up begins at step 1.
        """
        config = self.config
        if self.phase.optimizer == "adam":
            return [config.adam.lr * (1.0 if 2 * step < config.loop.steps else 0.1)]
        warmup = 1 <= step <= config.warmup_steps
        return [config.warmup_lr if warmup else config.lr]

    def batches(self, start: int, stop: int) -> Iterator[FusionBatch]:
        labeled = self._draw(self.labeled, start, stop, annotated=True)
        if self.config.ssl == "none":
            yield from (FusionBatch(batch) for batch in labeled)
            return
        unlabeled = self._draw(self.store.clips_of("train"), start, stop, annotated=False)
        yield from (FusionBatch(*pair) for pair in zip(labeled, unlabeled, strict=True))

    def _draw(self, pool: Sequence[int], start: int, stop: int, annotated: bool) -> Iterator[ClipBatch]:
        config, frames = self.config, self.phase.frames
        mode: ClipMode = "drawn" if frames else config.distance
        distance = config.max_distance if frames else config.key_interval - 1
        shot = Shot(mode, config.crop, distance, frames, annotated)
        return clip_batches(self.store, pool, shot, span_of(config, start, stop))

    def to_device(self, item: FusionBatch) -> FusionBatch:
        return FusionBatch(item.labeled.to(self.device), item.unlabeled and item.unlabeled.to(self.device))

    def validate(self) -> dict[str, float]:
        """mIoU of the annotated val frames, their key frame `key_interval - 1` before them; only of the last phase."""
        return validation.val_miou(self.store, self.model.num_classes, self._predict) if self.final else {}

    def picture(self) -> Rgb | None:
        return validation.val_picture(self.store, self._predict) if self.final else None

    def _predict(self, frames: validation.Frames) -> Sequence[Ids]:
        return [self._predict_one(clip, index) for clip, index in frames]

    def _predict_one(self, clip: int, index: int) -> Ids:
        ids_hw: Ids = self.logits(clip, index)[0].argmax(0).to(torch.uint8).cpu().numpy()
        return ids_hw

    def logits(self, clip: int, index: int) -> Tensor:
        """Logits (1, k, h, w) of a frame, its key frame `key_interval - 1` before it."""
        frames = clip_frames(self.store, clip, index, self.config.key_interval - 1).to(self.device)
        return self.model.forward_clip(frames)

    def use(self, weights: Path) -> None:
        """After training: take the weights of a file, to look with them."""
        load_into(self.model, weights)
        self.model.eval()

    @property
    def kept(self) -> nn.Module:
        """What the weights of the phase are of: the model, or before the last phase the parts that train."""
        return self.model if self.final else nn.ModuleList(self.phase.parts)

    def state(self) -> dict[str, Tensor]:
        return self.kept.state_dict()


def clip_frames(store: ClipStore, clip: int, index: int, distance: int) -> Tensor:
    """(1, distance + 1, 3, h, w) uint8 frames up to `index`; fewer where the clip begins later."""
    frames = [torch.from_numpy(store.frame(clip, i)) for i in range(max(0, index - distance), index + 1)]
    return torch.stack(frames).permute(0, 3, 1, 2)[None]
