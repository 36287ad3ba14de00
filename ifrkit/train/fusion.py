"""Stage two as a task of the loop: a video model on the labeled clips, the label on the last frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ifrkit.config.stages import TrainFusionConfig
from ifrkit.data.batch import ClipBatch
from ifrkit.data.loader import clip_batches
from ifrkit.data.store import ClipStore
from ifrkit.metrics.base import ClipResult
from ifrkit.plugins import load
from ifrkit.train import distributed
from ifrkit.train.flow import batch_to
from ifrkit.train.loop import Task
from ifrkit.train.losses import cross_entropy
from ifrkit.video.base import VideoModel


class FusionLosses(nn.Module):
    """The video model and its cross entropy, the mean over labeled pixels (spec 5.2)."""

    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        self.model = model
        model.train_stage()

    def train(self, mode: bool = True) -> FusionLosses:
        """What is frozen stays in eval mode."""
        super().train(mode)
        if mode:
            self.model.train_stage()
        return self

    def forward(self, batch: ClipBatch, step: int) -> dict[str, Tensor]:
        logits_bkhw = self.model.forward_clip(batch.frames_bt3hw)
        ce = cross_entropy(logits_bkhw, batch.label_bhw, "valid")
        if batch.frames_bt3hw.shape[1] == 1:
            # A lone key frame uses the reference branch only; ranks wait for a gradient of every trained part.
            ce = ce + sum(0 * p.sum() for p in self.model.parameters() if p.requires_grad)
        return {"ce": ce}


class FusionTask(Task):
    """A video model to train on these labeled clips."""

    select = "miou"

    def __init__(
        self,
        model: VideoModel,
        config: TrainFusionConfig,
        store: ClipStore,
        labeled: Sequence[int],
        device: torch.device,
    ) -> None:
        self.config, self.store, self.labeled, self.device, self.model = config, store, labeled, device, model
        self.module = FusionLosses(model).to(device)
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizers = [
            torch.optim.SGD(trained, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
        ]
        self.images = config.loop.batch * config.key_interval

    def lrs(self, step: int) -> list[float]:
        """The released schedule, its first step included: the rate is set after a step, so warm-up begins at step 1."""
        warmup = 1 <= step <= self.config.warmup_steps
        return [self.config.warmup_lr if warmup else self.config.lr]

    def batches(self, start: int, stop: int) -> Iterator[ClipBatch]:
        config = self.config
        return clip_batches(
            self.store,
            self.labeled,
            crop=config.crop,
            distance=config.key_interval - 1,
            mode=config.distance,
            batch=config.loop.batch,
            seed=config.seed,
            start_step=start,
            stop_step=stop,
            accumulate=config.loop.accumulate,
            rank=distributed.rank(),
            world=distributed.world(),
            workers=config.runtime.workers,
        )

    def to_device(self, item: ClipBatch) -> ClipBatch:
        return batch_to(item, self.device)

    def validate(self) -> dict[str, float]:
        """mIoU of the annotated val frames, their key frame `key_interval - 1` before them."""
        metric = load("metrics", "miou")(self.model.num_classes)
        val = [c for c in self.store.clips_of("val") if self.store.clips[c].annotated is not None]
        for clip in val[distributed.rank() :: distributed.world()]:
            index = self.store.clips[clip].annotated or 0
            frames = clip_frames(self.store, clip, index, self.config.key_interval - 1).to(self.device)
            ids_hw = self.model.forward_clip(frames)[0].argmax(0).to(torch.uint8).cpu().numpy()
            label_hw = self.store.label(clip, index, hidden=True)
            metric.update(ClipResult(self.store.clips[clip].name, {index: ids_hw}, {index: label_hw}))
        metric.counts = distributed.summed(metric.counts)
        miou = metric.compute()[metric.headline]
        return {} if miou is None else {"miou": miou}

    def state(self) -> dict[str, Tensor]:
        return self.model.state_dict()


def clip_frames(store: ClipStore, clip: int, index: int, distance: int) -> Tensor:
    """(1, distance + 1, 3, h, w) uint8 frames up to `index`; fewer where the clip begins later."""
    frames = [torch.from_numpy(store.frame(clip, i)) for i in range(max(0, index - distance), index + 1)]
    return torch.stack(frames).permute(0, 3, 1, 2)[None]
