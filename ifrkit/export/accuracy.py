"""mIoU of graphs on labeled held-out frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import frame_tensor, to_ids
from ifrkit.export.check import Streamed
from ifrkit.metrics.base import ClipResult
from ifrkit.metrics.miou import Metric

CPU = torch.device("cpu")


def miou(store: ClipStore, model: Streamed, places: Sequence[tuple[int, int]], distance: int) -> float:
    """Of these frames, each so far from its key frame (nearer where its clip begins later)."""
    metric = Metric(store.labels.num_classes)
    for clip, index in places:
        frames = [frame_tensor(store, clip, i, CPU) for i in range(max(0, index - distance), index + 1)]
        logits, _ = list(_stream(model, frames))[-1]
        label_hw = store.label(clip, index, hidden=True)
        ids_hw = to_ids(logits, store.size)
        metric.update(ClipResult("", {index: ids_hw}, {index: label_hw}))
    return float(metric.compute()["miou"])


def _stream(model: Streamed, frames: Sequence[Tensor]) -> Iterator[tuple[Tensor, Any]]:
    logits, state = model.start(frames[0])
    yield logits, state
    for frame in frames[1:]:
        logits, state = model.step(frame, state)
        yield logits, state


def feeds(store: ClipStore, model: Any, count: int) -> Mapping[str, Iterator[Sequence[Tensor]]]:
    """Inputs of the key step and of the update step of a float model, on so many training frames, spread evenly."""
    clips = store.clips_of("train")
    every = [(clip, index) for clip in clips for index in range(len(store.clips[clip].frames))]
    count = min(count, len(every))
    places = [every[i * len(every) // count] for i in range(count)]

    def key() -> Iterator[Sequence[Tensor]]:
        for clip, index in places:
            yield [frame_tensor(store, clip, index, CPU)]

    def update() -> Iterator[Sequence[Tensor]]:
        for clip, index in places:
            _, state = model.start(frame_tensor(store, clip, max(0, index - 1), CPU))
            yield [frame_tensor(store, clip, index, CPU), *state]

    return {"start": key(), "step": update()}
