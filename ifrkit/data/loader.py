"""From the clip store to micro-batches, in worker processes, in a fixed order.

Item m of a run is micro-step m: step m // accumulate. Everything drawn for it is keyed, so a loader may begin anywhere
and its items do not depend on how many workers or ranks share the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ifrkit.config.stages import CropConfig
from ifrkit.data import augment, sampler
from ifrkit.data.batch import Batch, ClipBatch, RawBatch, View
from ifrkit.data.keyed import key_rng
from ifrkit.data.records import IGNORE, Window
from ifrkit.data.store import ClipStore

if TYPE_CHECKING:
    from ifrkit.data.pseudo import PseudoLabels


def micro_samples(micro: int, batch: int, accumulate: int, rank: int, world: int) -> tuple[int, range]:
    """The step of a micro-step, and the global numbers of this rank's samples in it."""
    step, part = divmod(micro, accumulate)
    each = batch // (accumulate * world)
    first = step * batch + (part * world + rank) * each
    return step, range(first, first + each)


class _Ordered(Dataset[Any]):
    """What the workers run: `make(micro)`. One thread each; OpenCV and torch would otherwise fight for the cores."""

    def __init__(self, make: Any, start: int, stop: int) -> None:
        self.make, self.start, self.count = make, start, stop - start

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> Any:
        return self.make(self.start + item)


def _run(make: Any, start: int, stop: int, workers: int) -> Iterator[Any]:
    # batch_size=None: an item is a whole micro-batch; the default sampler keeps the order.
    loader: Iterable[Any] = DataLoader(
        _Ordered(make, start, stop), batch_size=None, num_workers=min(workers, stop - start)
    )
    return iter(loader)


@dataclass
class _ViewMaker:
    store: ClipStore
    labeled: Sequence[int]
    unlabeled: Sequence[int]
    views: Sequence[View]
    crop: CropConfig
    seed: int
    batch: int
    accumulate: int
    rank: int
    world: int
    pseudo: PseudoLabels | None

    def __call__(self, micro: int) -> RawBatch:
        _, numbers = micro_samples(micro, self.batch, self.accumulate, self.rank, self.world)
        samples = [self._sample(number) for number in numbers]
        images = {v.name: torch.stack([s[0][v.name] for s in samples]) for v in self.views if v.distort_of is None}
        labels = {name: torch.stack([s[1][name] for s in samples]) for name in samples[0][1]}
        strong = [v.name for v in self.views if v.distort_of is not None]
        params = {
            name: torch.from_numpy(
                np.stack([augment.draw_distortion(key_rng(self.seed, "distort", name, n)) for n in numbers])
            )
            for name in strong
        }
        clips = {pool: [s[2][pool] for s in samples] for pool in samples[0][2]}
        return RawBatch(images, labels, params, clips)

    def _sample(self, number: int) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, int]]:
        images: dict[str, Tensor] = {}
        labels: dict[str, Tensor] = {}
        clips: dict[str, int] = {}
        for pool in ("labeled", "unlabeled"):
            views = [v for v in self.views if v.pool == pool and v.distort_of is None]
            if views:
                clips[pool] = self._pool(pool, views, number, images, labels)
        return images, labels, clips

    def _pool(
        self, pool: str, views: Sequence[View], number: int, images: dict[str, Tensor], labels: dict[str, Tensor]
    ) -> int:
        store, rng = self.store, key_rng(self.seed, pool, number)
        if pool == "labeled":
            clip = sampler.labeled_clip(self.labeled, self.seed, number)
        else:
            clip = sampler.unlabeled_clip(self.unlabeled, self.seed, number)
        frames = sampler.draw_frames(views, store.clips[clip], rng)
        flips = sampler.draw_flips([v.name for v in views], self.crop, rng)
        label_hw: NDArray[np.uint8] | None = None
        if pool == "labeled":
            annotated = store.clips[clip].annotated
            assert annotated is not None
            label_hw = full = store.label(clip, annotated)
            window = sampler.labeled_window(store.size, self.crop, rng, lambda w: cut(full, w))
        else:
            window = sampler.random_window(store.size, self.crop.size, rng)
        for view in views:
            flip = flips[view.name]
            images[view.name] = _chw(store.frame(clip, frames[view.name], window), flip)
            if label_hw is not None and view.frame == "annotated":
                labels[view.name] = _hw(cut(label_hw, window), flip)
            elif view.pseudo is not None and self.pseudo is not None:
                labels[view.name] = _hw(self.pseudo.label(clip, frames[view.name], window, view.pseudo), flip)
        return clip


def cut(label_hw: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The window of a label."""
    return label_hw[window.y : window.y + window.height, window.x : window.x + window.width]


def _chw(frame_hw3: NDArray[np.uint8], flip: bool) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray((frame_hw3[:, ::-1] if flip else frame_hw3).transpose(2, 0, 1)))


def _hw(label_hw: NDArray[np.uint8], flip: bool) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(label_hw[:, ::-1] if flip else label_hw))


def view_batches(
    store: ClipStore,
    labeled: Sequence[int],
    unlabeled: Sequence[int],
    views: Sequence[View],
    crop: CropConfig,
    batch: int,
    seed: int,
    start_step: int,
    stop_step: int,
    accumulate: int = 1,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    pseudo: PseudoLabels | None = None,
) -> Iterator[RawBatch]:
    """Micro-batches of the steps start_step..stop_step - 1, `accumulate` for each step."""
    make = _ViewMaker(store, labeled, unlabeled, views, crop, seed, batch, accumulate, rank, world, pseudo)
    return _run(make, start_step * accumulate, stop_step * accumulate, workers)


def to_device(raw: RawBatch, views: Sequence[View], device: torch.device | str) -> Batch:
    """Move, distort and normalise."""
    images = {name: image.to(device, non_blocking=True) for name, image in raw.images.items()}
    for view in views:
        if view.distort_of is not None:
            images[view.name] = augment.distort(images[view.distort_of], raw.distortions[view.name].to(device))
    normal = {view.name: augment.normalise(images[view.name]) for view in views}
    return Batch(normal, {name: label.to(device).long() for name, label in raw.labels.items()}, raw.clips)


@dataclass
class _ClipMaker:
    store: ClipStore
    clips: Sequence[int]
    crop: tuple[int, int]
    distance: int
    mode: Literal["fixed", "uniform", "pairs", "truth"]
    seed: int
    batch: int
    accumulate: int
    rank: int
    world: int

    def __call__(self, micro: int) -> ClipBatch:
        step, numbers = micro_samples(micro, self.batch, self.accumulate, self.rank, self.world)
        # One distance for the whole step, so that its samples stack.
        rng = key_rng(self.seed, "distance", step)
        if self.mode == "uniform":
            distance = int(rng.integers(self.distance + 1))
        elif self.mode == "pairs":
            distance = int(rng.integers(1, self.distance + 1))
        else:
            distance = self.distance
        samples = [self._sample(number, distance) for number in numbers]
        frames, labels, flows, valid = zip(*samples, strict=True)
        truth = self.mode == "truth"
        return ClipBatch(
            torch.stack(frames),
            torch.stack(labels).long(),
            torch.stack(flows) if truth else None,
            torch.stack(valid) if truth else None,
        )

    def _sample(self, number: int, distance: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        store, rng = self.store, key_rng(self.seed, "clip", number)
        supervised = self.mode in ("fixed", "uniform")
        clip = sampler.labeled_clip(self.clips, self.seed, number)
        record = store.clips[clip]
        if supervised:
            assert record.annotated is not None
            last = record.annotated
        else:
            last = int(rng.integers(min(distance, len(record.frames) - 1), len(record.frames)))
        (height, width), (h, w) = store.size, self.crop
        # The released fusion crop never uses the last offset (spec 5.1).
        window = Window(int(rng.integers(max(1, height - h))), int(rng.integers(max(1, width - w))), h, w)
        step = distance if self.mode == "pairs" else 1
        indices = [max(0, i) for i in range(last - distance, last + 1, step)]
        if self.mode == "pairs" and rng.random() < 0.5:
            indices.reverse()
        frames = torch.stack([_chw(store.frame(clip, i, window), False) for i in indices])
        label = torch.full((h, w), IGNORE, dtype=torch.uint8)
        if supervised:
            label = _hw(store.label(clip, last, window), False)
        if self.mode != "truth":
            return frames, label, None, None
        true = [store.flow(clip, i, backward=True, window=window) for i in indices[1:]]
        flow = torch.stack([torch.from_numpy(t.flow_2hw) for t in true if t is not None])
        valid = torch.stack([torch.from_numpy(t.visible_hw) for t in true if t is not None])
        return frames, label, flow, valid


def clip_batches(
    store: ClipStore,
    clips: Sequence[int],
    *,
    crop: tuple[int, int],
    distance: int,
    mode: Literal["fixed", "uniform", "pairs", "truth"],
    batch: int,
    seed: int,
    start_step: int,
    stop_step: int,
    accumulate: int = 1,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> Iterator[ClipBatch]:
    """Runs of consecutive frames with one shared crop and no flip.

    fixed: the annotated frame and the `distance` frames before it, with its label; uniform: 0..distance frames before
    it, one distance a step; pairs: two frames 1..distance apart in either order, no label; truth: consecutive frames
    with exact flow. A clip with fewer frames before the last one repeats its first frame.
    """
    make = _ClipMaker(store, clips, crop, distance, mode, seed, batch, accumulate, rank, world)
    return _run(make, start_step * accumulate, stop_step * accumulate, workers)
