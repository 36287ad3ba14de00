"""Batches of several frames of a clip, for flow and for stage two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ifrkit.config.training import CropConfig
from ifrkit.core.errors import ArtifactError
from ifrkit.core.keyed import Key
from ifrkit.core.records import IGNORE, Frame, TrueFlow, Window
from ifrkit.data.loading import sampler
from ifrkit.data.loading.batch import ClipBatch
from ifrkit.data.loading.shots import Shot, usable_clips
from ifrkit.data.loading.stream import Items, Span, stream
from ifrkit.data.store.clips import ClipStore


def clip_batches(store: ClipStore, clips: Sequence[int], shot: Shot, span: Span) -> Iterator[ClipBatch]:
    """Micro-batches of a span in order. clips: numbers of the clips to draw from. Raises as `usable_clips`."""
    return stream((_RunItems if shot.is_run else _PairItems)(store, usable_clips(store, clips, shot), shot, span))


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
            frames.append([self.store.frame(clip, i, window, copy=False) for i in [*run, last]])
            if shot.annotated:
                labels.append(self.store.label(clip, last, window, copy=False))
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
