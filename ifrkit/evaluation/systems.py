"""What is judged in a table: a model, each branch alone on every frame, and the copy of the key frame.

Predictions are class ids of whole frames, (h, w) uint8.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ifrkit.architectures.base import VideoModel
from ifrkit.data.store.clips import ClipStore
from ifrkit.metrics.base import Ids
from ifrkit.models.network import Network

CACHED = 64
"""Frames whose prediction is remembered: clips may overlap, and the copy of a key frame is a prediction made before."""


class System(Protocol):
    """Anything that predicts the frames of a clip."""

    name: str

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Ids:
        """Frame `index` with its key frame at `key` <= index, at this (height, width)."""
        ...

    def stream(self, store: ClipStore, clip: int, interval: int) -> Iterator[Ids]:
        """Every frame in order, a key frame each `interval`, at the store's size."""
        ...


class PerFrame:
    """A branch on every frame by itself."""

    def __init__(self, name: str, network: Network, device: torch.device) -> None:
        self.name, self.network, self.device = name, network.to(device).eval(), device
        self._seen: OrderedDict[tuple[str, tuple[int, int]], Ids] = OrderedDict()

    def predict(self, store: ClipStore, clip: int, index: int, size: tuple[int, int]) -> Ids:
        """The prediction of one frame."""
        key = store.clips[clip].frames[index], size
        if key not in self._seen:
            frame_13hw = frame_tensor(store, clip, index, self.device)
            self._seen[key] = to_ids(self.network(self.network.normalise(frame_13hw)), size)
            if len(self._seen) > CACHED:
                self._seen.popitem(last=False)
        return self._seen[key]

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Ids:
        """See System."""
        return self.predict(store, clip, index, size)

    def stream(self, store: ClipStore, clip: int, interval: int) -> Iterator[Ids]:
        """See System."""
        for index in range(len(store.clips[clip].frames)):
            yield self.predict(store, clip, index, store.size)


class CopyKey:
    """The free baseline: the reference branch's prediction of the key frame, moved by zero flow."""

    name = "key frame, copied"

    def __init__(self, reference: PerFrame) -> None:
        self.reference = reference

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Ids:
        """See System."""
        return self.reference.predict(store, clip, key, size)

    def stream(self, store: ClipStore, clip: int, interval: int) -> Iterator[Ids]:
        """See System."""
        for index in range(len(store.clips[clip].frames)):
            yield self.reference.predict(store, clip, index - index % interval, store.size)


class Video:
    """A video model."""

    def __init__(self, name: str, model: VideoModel, device: torch.device) -> None:
        self.name, self.model, self.device = name, model.to(device).eval(), device

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Ids:
        """See System."""
        frames = [frame_tensor(store, clip, i, self.device) for i in range(key, index + 1)]
        return to_ids(self.model.forward_clip(torch.stack(frames, 1)), size)

    def stream(self, store: ClipStore, clip: int, interval: int) -> Iterator[Ids]:
        """See System."""
        state = None
        for index in range(len(store.clips[clip].frames)):
            frame = frame_tensor(store, clip, index, self.device)
            logits, state = self.model.step(frame, state) if index % interval else self.model.start(frame)
            yield to_ids(logits, store.size)


def frame_tensor(store: ClipStore, clip: int, index: int, device: torch.device) -> Tensor:
    """(1, 3, h, w) uint8 RGB."""
    return torch.from_numpy(store.frame(clip, index)).permute(2, 0, 1)[None].to(device)


def to_ids(logits_1khw: Tensor, size: tuple[int, int]) -> Ids:
    """Class ids at this size; logits, never ids, are what is enlarged."""
    if logits_1khw.shape[-2:] != size:
        logits_1khw = F.interpolate(logits_1khw, size, mode="bilinear", align_corners=False)
    # The index of `max` is that of `argmax`, found ten times as fast on the CPU.
    ids: Ids = logits_1khw[0].max(0).indices.to(torch.uint8).cpu().numpy()
    return ids
