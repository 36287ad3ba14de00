"""What the tasks on clips (flow, fusion) share: their batches, the move to the device, the mIoU of the val split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.core.plugins import load
from ifrkit.data.loading.batch import ClipBatch
from ifrkit.data.loading.loader import ClipMode, clip_batches
from ifrkit.data.store.clips import ClipStore
from ifrkit.media.pictures import Rgb, strip
from ifrkit.metrics.base import ClipResult, Ids
from ifrkit.train import distributed


def batches(
    config: TrainFlowConfig | TrainFusionConfig,
    store: ClipStore,
    clips: Sequence[int],
    start: int,
    stop: int,
    *,
    mode: ClipMode,
    distance: int,
    frames: int = 2,
    annotated: bool = True,
) -> Iterator[ClipBatch]:
    """Micro-batches of this rank for steps start..stop-1, as `clip_batches` draws them."""
    return clip_batches(
        store,
        clips,
        crop=config.crop,
        distance=distance,
        mode=mode,
        batch=config.loop.batch,
        seed=config.seed,
        start_step=start,
        stop_step=stop,
        accumulate=config.loop.accumulate,
        rank=distributed.rank(),
        world=distributed.world(),
        workers=config.runtime.workers,
        frames=frames,
        annotated=annotated,
    )


def batch_to(batch: ClipBatch, device: torch.device) -> ClipBatch:
    """A clip batch on the device."""
    flow, valid = batch.flow_bt2hw, batch.valid_bthw
    return ClipBatch(
        batch.frames_bt3hw.to(device),
        batch.label_bhw.to(device),
        None if flow is None else flow.to(device),
        None if valid is None else valid.to(device),
    )


def val_miou(store: ClipStore, num_classes: int, predict: Callable[[int, int], Ids]) -> dict[str, float]:
    """{"miou": ...} of the annotated val frames over all ranks; empty if there are none. predict: (clip, index)."""
    metric = load("metrics", "miou")(num_classes)
    val = [clip for clip in store.clips_of("val") if store.clips[clip].annotated is not None]
    for clip in val[distributed.rank() :: distributed.world()]:
        index = store.clips[clip].annotated or 0
        label_hw = store.label(clip, index, hidden=True)
        metric.update(ClipResult(store.clips[clip].name, {index: predict(clip, index)}, {index: label_hw}))
    metric.counts = distributed.summed(metric.counts)
    miou = metric.compute()[metric.headline]
    return {} if miou is None else {"miou": miou}


def val_picture(store: ClipStore, predict: Callable[[int, int], Ids]) -> Rgb | None:
    """Frame, label, prediction and errors of the first annotated val frame, if there is one. predict: (clip, index)."""
    for clip in store.clips_of("val"):
        if (index := store.clips[clip].annotated) is not None:
            label_hw = store.label(clip, index, hidden=True)
            return np.asarray(
                strip(store.frame(clip, index), label_hw, predict(clip, index), store.labels, "prediction")
            )
    return None
