"""What is judged in a table: a model, each branch alone on every frame, and the copy of the key frame.

Predictions are class ids of whole frames, (h, w) uint8, with their probabilities where somebody asks for them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ifrkit.data.store.clips import ClipStore
from ifrkit.media.resize import resize_frame, scaled_size
from ifrkit.metrics.base import Confidence, Ids
from ifrkit.models.network import Network
from ifrkit.models.video import VideoModel

CACHED = 64
"""Frames whose prediction is remembered: clips may overlap, and the copy of a key frame is a prediction made before."""


class Seen(NamedTuple):
    """A predicted frame. confidence_hw: None where nobody asked for it.

    judged_hw: the confidence by a temperature that did not see this clip; None where the model's own did not, either.
    """

    ids_hw: Ids
    confidence_hw: Confidence | None = None
    judged_hw: Confidence | None = None


class System(Protocol):
    """Anything that predicts the frames of a clip."""

    name: str

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Seen:
        """Frame `index` with its key frame at `key` <= index, at this (height, width)."""
        ...

    def stream(self, store: ClipStore, clip: int, interval: int) -> Iterator[Seen]:
        """Every frame in order, a key frame each `interval`, at the store's size."""
        ...


class PerFrame:
    """A branch on every frame by itself. confidences: whether they are asked for; scale: of what it sees.

    temperature: None where nobody asks. held_out: clip -> one that did not see it, where the branch's own did.
    """

    def __init__(
        self, name: str, network: Network, device: torch.device, confidences: bool = False, scale: float = 1.0
    ) -> None:
        self.name, self.network, self.device, self.scale = name, network.to(device).eval(), device, scale
        self.temperature = network.temperature if confidences else None
        self.held_out: Mapping[int, float] = {}
        self._seen: OrderedDict[tuple[ClipStore, str, tuple[int, int], float | None], Seen] = OrderedDict()

    def logits(self, store: ClipStore, clip: int, index: int, key: int, scale: float = 1.0) -> Tensor:
        """(1, k, h, w) of a frame; at scale 1 as training looks at it to fit the temperature."""
        frame_13hw = frame_tensor(store, clip, index, self.device, scale)
        logits_1khw: Tensor = self.network(self.network.normalise(frame_13hw))
        return logits_1khw

    def predict(self, store: ClipStore, clip: int, index: int, size: tuple[int, int]) -> Seen:
        """The prediction of one frame."""
        held_out = self.held_out.get(clip)
        key = store, store.clips[clip].frames[index], size, held_out
        if key not in self._seen:
            logits_1khw = self.logits(store, clip, index, index, self.scale)
            self._seen[key] = seen(logits_1khw, size, self.temperature, held_out)
            if len(self._seen) > CACHED:
                self._seen.popitem(last=False)
        return self._seen[key]

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Seen:
        """See System."""
        return self.predict(store, clip, index, size)

    def stream(self, store: ClipStore, clip: int, interval: int) -> Iterator[Seen]:
        """See System."""
        for index in range(len(store.clips[clip].frames)):
            yield self.predict(store, clip, index, store.size)


class CopyKey:
    """The free baseline: the reference branch's prediction of the key frame, moved by zero flow."""

    def __init__(self, reference: PerFrame) -> None:
        self.reference = reference
        self.name = f"key frame, copied{scaled_name(reference.scale)}"

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Seen:
        """See System."""
        return self.reference.predict(store, clip, key, size)

    def stream(self, store: ClipStore, clip: int, interval: int) -> Iterator[Seen]:
        """See System."""
        for index in range(len(store.clips[clip].frames)):
            yield self.reference.predict(store, clip, index - index % interval, store.size)


class Video:
    """A video model. Confidences, scale, temperature and held_out are as those of PerFrame."""

    def __init__(
        self, name: str, model: VideoModel, device: torch.device, confidences: bool = False, scale: float = 1.0
    ) -> None:
        self.name, self.model, self.device, self.scale = name, model.to(device).eval(), device, scale
        self.temperature = model.temperature if confidences else None
        self.held_out: Mapping[int, float] = {}

    def logits(self, store: ClipStore, clip: int, index: int, key: int, scale: float = 1.0) -> Tensor:
        """(1, k, h, w) of a frame with its key frame; at scale 1 as training looks at it to fit the temperature."""
        frames = [frame_tensor(store, clip, i, self.device, scale) for i in range(key, index + 1)]
        return self.model.forward_clip(torch.stack(frames, 1))

    def scored(self, store: ClipStore, clip: int, index: int, key: int, size: tuple[int, int]) -> Seen:
        """See System."""
        logits_1khw = self.logits(store, clip, index, key, self.scale)
        return seen(logits_1khw, size, self.temperature, self.held_out.get(clip))

    def stream(self, store: ClipStore, clip: int, interval: int) -> Iterator[Seen]:
        """See System."""
        state = None
        for index in range(len(store.clips[clip].frames)):
            frame = frame_tensor(store, clip, index, self.device, self.scale)
            logits, state = self.model.step(frame, state) if index % interval else self.model.start(frame)
            yield seen(logits, store.size, self.temperature)


def scaled_name(scale: float) -> str:
    """What the name of a system ends with that does not see whole frames."""
    return "" if scale == 1 else f", at {scale:g} of the size"


def frame_tensor(store: ClipStore, clip: int, index: int, device: torch.device, scale: float = 1.0) -> Tensor:
    """(1, 3, h, w) uint8 RGB, at this share of the store's height and width."""
    frame = resize_frame(store.frame(clip, index), scaled_size(store.size, scale))
    return torch.from_numpy(frame).permute(2, 0, 1)[None].to(device)


def to_ids(logits_1khw: Tensor, size: tuple[int, int]) -> Ids:
    """Class ids at this size; logits, never ids, are what is enlarged."""
    return seen(logits_1khw, size).ids_hw


def seen(
    logits_1khw: Tensor, size: tuple[int, int], temperature: float | None = None, held_out: float | None = None
) -> Seen:
    """What logits say at this size; with a temperature also the probability of the class that they say."""
    if logits_1khw.shape[-2:] != size:
        logits_1khw = F.interpolate(logits_1khw, size, mode="bilinear", align_corners=False)
    # The index of `max` is that of `argmax`, found ten times as fast on the CPU.
    highest_hw, ids_hw = logits_1khw[0].max(0)
    ids: Ids = ids_hw.to(torch.uint8).cpu().numpy()
    if temperature is None:
        return Seen(ids)
    sure = (None if t is None else _sure(logits_1khw[0], highest_hw, t) for t in (temperature, held_out))
    return Seen(ids, *sure)


def _sure(logits_khw: Tensor, highest_hw: Tensor, temperature: float) -> Confidence:
    """exp(highest - log of the sum) is the largest softmax; rounding must not lift it above 1."""
    scores_khw, best_hw = logits_khw.float() / temperature, highest_hw.float() / temperature
    sure: Confidence = (best_hw - scores_khw.logsumexp(0)).exp().clamp(max=1).cpu().numpy()
    return sure
