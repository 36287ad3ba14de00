"""What the present weights see in the val split: its mIoU, and one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ifrkit.core.plugins import load
from ifrkit.data.store.clips import ClipStore
from ifrkit.media.pictures import Rgb, strip
from ifrkit.metrics.base import ClipResult, Ids
from ifrkit.models.network import Network
from ifrkit.models.tta import probabilities
from ifrkit.train import distributed

Frames = Sequence[tuple[int, int]]
"""(clip, position) of each."""
Predict = Callable[[Frames], Sequence[Ids]]
"""Class ids (h, w) uint8 of each of these frames."""


def val_miou(store: ClipStore, num_classes: int, predict: Predict, batch: int = 1) -> dict[str, float]:
    """{"miou": ...} of the annotated val frames over all ranks; empty if there are none. batch: frames a call."""
    metric = load("metrics", "miou")(num_classes)
    mine = annotated(store)[distributed.rank() :: distributed.world()]
    for start in range(0, len(mine), batch):
        frames = mine[start : start + batch]
        for (clip, index), ids_hw in zip(frames, predict(frames), strict=True):
            label_hw = store.label(clip, index, hidden=True)
            metric.update(ClipResult(store.clips[clip].name, {index: ids_hw}, {index: label_hw}))
    metric.counts = distributed.summed(metric.counts)
    miou = metric.compute()[metric.headline]
    return {} if miou is None else {"miou": miou}


def val_picture(store: ClipStore, predict: Predict) -> Rgb | None:
    """Frame, label, prediction and errors of the first annotated val frame, if there is one."""
    for clip, index in annotated(store)[:1]:
        label_hw, (ids_hw,) = store.label(clip, index, hidden=True), predict([(clip, index)])
        return np.asarray(strip(store.frame(clip, index), label_hw, ids_hw, store.labels, "prediction"))
    return None


def annotated(store: ClipStore) -> list[tuple[int, int]]:
    """Clip and position of each annotated frame of the val split."""
    found = ((clip, store.clips[clip].annotated) for clip in store.clips_of("val"))
    return [(clip, index) for clip, index in found if index is not None]


@torch.no_grad()
def predict_frames(
    network: Network, store: ClipStore, frames: Frames, device: torch.device, **augmented: Any
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Class ids (b, h, w) uint8 and their probabilities (b, h, w) float32 of whole frames.

    network: in eval mode. augmented: scales and flip of `ifrkit.models.tta.probabilities`.
    """
    images = np.stack([store.frame(clip, index) for clip, index in frames])
    images_b3hw = network.normalise(torch.from_numpy(images).to(device).permute(0, 3, 1, 2))
    confidence_bhw, ids_bhw = probabilities(network, images_b3hw, **augmented).max(1)
    return ids_bhw.to(torch.uint8).cpu().numpy(), confidence_bhw.cpu().numpy()
