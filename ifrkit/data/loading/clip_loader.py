"""Batches of several frames of a clip, for flow and for stage two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ifrkit.config.training import CropConfig
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.keyed import Key
from ifrkit.core.records import IGNORE, Frame, TrueFlow, Window
from ifrkit.data.loading import sampler
from ifrkit.data.loading.batch import ClipBatch
from ifrkit.data.loading.stream import Items, Span, stream
from ifrkit.data.store.clips import ClipStore

ClipMode = Literal["fixed", "uniform", "drawn", "pairs", "truth"]


@dataclass(frozen=True)
class Shot:
    """Which frames of a clip make a sample; they share one crop (height, width) and are not mirrored.

    fixed: the annotated frame with its label, and the `distance` frames before it; a clip with fewer of them repeats
    its first frame. uniform: the same with a distance drawn from 0..distance, one for a whole step. drawn: only
    `frames` frames, the annotated one and others that are drawn from the `distance` frames before it, in order. These
    three with `annotated` off: up to any frame of the clip, without a label; clips are drawn with replacement.
    pairs: two frames 1..distance apart in either order, no label. truth: two neighbours in either order with the exact
    flow of the second to the first. Their clips are drawn with replacement from those with several frames.
    """

    mode: ClipMode
    crop: tuple[int, int]
    distance: int = 1
    frames: int = 2
    annotated: bool = True

    @property
    def is_run(self) -> bool:
        """Whether it is a run of frames up to a last one, not a pair."""
        return self.mode in ("fixed", "uniform", "drawn")


def clip_batches(store: ClipStore, clips: Sequence[int], shot: Shot, span: Span) -> Iterator[ClipBatch]:
    """Micro-batches of a span in order. clips: numbers of the clips to draw from. Raises as `usable_clips`."""
    return stream((_RunItems if shot.is_run else _PairItems)(store, usable_clips(store, clips, shot), shot, span))


def usable_clips(store: ClipStore, clips: Sequence[int], shot: Shot, key: str = "crop") -> list[int]:
    """Those clips that have the frames. key: of the crop in the config.

    Raises ConfigError for a crop that is larger than the frames, and if no clip serves.
    """
    store.check_crop(shot.crop, key)
    if shot.is_run:
        usable = [clip for clip in clips if not shot.annotated or store.clips[clip].annotated is not None]
    else:
        usable = [clip for clip in clips if len(store.clips[clip].frames) > 1]
    if not usable:
        raise ConfigError(f"no clip has the frames that {shot.mode!r} batches need", "prepare other or longer clips")
    if shot.mode == "truth" and not store.has_flow:
        raise ConfigError(f"{store.path} has no exact flow", "use --set supervision=photometric")
    return usable


@dataclass
class _RunItems(Items[ClipBatch]):
    """Micro-batches of runs up to a frame."""

    store: ClipStore
    clips: list[int]
    shot: Shot
    span: Span

    def make(self, keys: list[Key]) -> ClipBatch:
        shot = self.shot
        # One distance for the whole step, so that its samples stack on every rank.
        distance = sampler.distance(keys[0], shot.distance) if shot.mode == "uniform" else shot.distance
        frames, labels = [], []
        for key in keys:
            clip, last = self._target(key, distance)
            window = sampler.clip_window(self.store.size, shot.crop, key)
            run = [max(0, i) for i in range(last - distance, last)]
            if shot.mode == "drawn":
                run = sampler.earlier(last, shot.frames - 1, distance, key)
            frames.append([self.store.frame(clip, i, window) for i in [*run, last]])
            if shot.annotated:
                labels.append(self.store.label(clip, last, window))
        if not shot.annotated:
            return ClipBatch(_stack(frames), torch.full((len(keys), *shot.crop), IGNORE))
        return ClipBatch(_stack(frames), torch.from_numpy(np.stack(labels)).long())

    def _target(self, key: Key, distance: int) -> tuple[int, int]:
        """The clip of a sample, and the last frame of its run."""
        if self.shot.annotated:
            clip = sampler.labeled_clip(self.clips, key, self.span.batch)
            return clip, self.store.clips[clip].annotated or 0
        clip = sampler.unlabeled_clip(self.clips, key)
        return clip, sampler.target(len(self.store.clips[clip].frames), distance, key)


@dataclass
class _PairItems(Items[ClipBatch]):
    """Micro-batches of unlabeled pairs."""

    store: ClipStore
    clips: list[int]
    shot: Shot
    span: Span

    def make(self, keys: list[Key]) -> ClipBatch:
        crop, truth = self.shot.crop, self.shot.mode == "truth"
        apart = 1 if truth else self.shot.distance
        frames, flows = [], []
        for key in keys:
            clip = sampler.unlabeled_clip(self.clips, key)
            pair = sampler.pair(len(self.store.clips[clip].frames), apart, key)
            window = sampler.crop_window(self.store.size, CropConfig(size=crop), key, "pair")
            frames.append([self.store.frame(clip, i, window) for i in pair])
            if truth:
                flows.append(self._flow(clip, pair, window))
        label_bhw = torch.full((len(keys), *crop), IGNORE)
        if not truth:
            return ClipBatch(_stack(frames), label_bhw)
        flow_bt2hw, valid_bthw = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*flows, strict=True))
        return ClipBatch(_stack(frames), label_bhw, flow_bt2hw, valid_bthw)

    def _flow(self, clip: int, pair: tuple[int, int], window: Window) -> TrueFlow:
        first, second = pair
        flow = self.store.flow(clip, second, backward=first < second, window=window)
        if flow is None:
            name = self.store.clips[clip].frames[second]
            raise ArtifactError(f"{self.store.path}: frame {name} has no flow to its neighbour", "run prepare again")
        return flow


def _stack(frames: list[list[Frame]]) -> torch.Tensor:
    """(b, t, 3, h, w) of frames by sample and time."""
    return torch.from_numpy(np.stack([np.stack(run) for run in frames])).permute(0, 1, 4, 2, 3)
