"""Training batches of views from a clip store: only what is needed is read, and only the crop of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ifrkit.config.training import CropConfig
from ifrkit.core.keyed import Key
from ifrkit.core.records import IGNORE, ClipRecord, Frame, Label, Window
from ifrkit.data.loading import sampler
from ifrkit.data.loading.batch import Batch, RawBatch
from ifrkit.data.loading.pools import Clips, Pool, pools_of
from ifrkit.data.loading.stream import Items, Span, stream
from ifrkit.data.loading.views import Copy, Draw, Place, Reading, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.data.store.clips import ClipStore

LABELED = "v0_0"
"""The view that the supervised loss sees."""


def view_batches(
    clips: Clips, views: Sequence[View], crop: CropConfig, span: Span, judged: Sequence[str] = ()
) -> Iterator[RawBatch]:
    """Micro-batches of a span in order.

    judged: views whose true labels come along, to measure pseudo labels by. The workers end when the iterator is
    exhausted or dropped. Raises as `pools_of`.
    """
    return stream(ViewItems(clips, pools_of(clips, views, crop), crop, span, frozenset(judged)))


def to_device(
    raw: RawBatch, views: Sequence[View], device: torch.device | str, normalise: Callable[[Tensor], Tensor]
) -> Batch:
    """The batch on its device: distorted copies are made there, all images normalised, labels int64.

    normalise: of the network that the batch is for.
    """
    images = {name: image.to(device, non_blocking=True) for name, image in raw.images.items()}
    for view in views:
        if isinstance(view.placement, Copy):
            images[view.name] = view.placement.by.apply(images[view.placement.of], raw.distortions[view.name])
    if LABELED in raw.distortions:
        params = raw.distortions[LABELED]
        images[LABELED] = colour_jitter(0.0).apply(images[LABELED], params)
    labels = {name: label.to(device, non_blocking=True).long() for name, label in raw.labels.items()}
    extras = {name: extra.to(device, non_blocking=True) for name, extra in raw.extras.items()}
    return Batch({view.name: normalise(images[view.name]) for view in views}, labels, raw.clips, raw.places, extras)


@dataclass
class Sample:
    """What is read for one sample; distortions are drawn for distorted copies."""

    images: dict[str, Frame] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    distortions: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]] = field(default_factory=dict)
    clips: dict[str, int] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    extras: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    truth: dict[str, Label] = field(default_factory=dict)


@dataclass
class ViewItems(Items[RawBatch]):
    """Micro-batches of views."""

    clips: Clips
    pools: dict[str, Pool]
    crop: CropConfig
    span: Span
    judged: frozenset[str]

    def make(self, keys: list[Key]) -> RawBatch:
        samples = []
        for key in keys:
            samples.append(Sample())
            for pool in self.pools:
                self._read(samples[-1], key, pool)
        return RawBatch(
            {name: x.permute(0, 3, 1, 2) for name, x in _stacked([s.images for s in samples]).items()},
            _stacked([s.labels for s in samples]),
            _stacked([s.distortions for s in samples]),
            {pool: [s.clips[pool] for s in samples] for pool in self.pools},
            {name: [s.places[name] for s in samples] for name in samples[0].places},
            _stacked([s.extras for s in samples]),
            _stacked([s.truth for s in samples]),
        )

    def _read(self, sample: Sample, key: Key, pool: str) -> None:
        """Draw a clip of a pool, a window and the places in it, and read them into the sample."""
        numbers, views, store = self.pools[pool].clips, self.pools[pool].views, self.clips.store
        labeled, wanted = pool == "labeled", None
        clip = sampler.labeled_clip(numbers, key, self.span.batch) if labeled else sampler.unlabeled_clip(numbers, key)
        if labeled and self.crop.rare and self.clips.pixels_ck is not None:
            wanted = sampler.rare_class(self.clips.pixels_ck, self.crop.rare, key)
            clip = clip if wanted is None else sampler.clip_with(numbers, self.clips.pixels_ck, wanted, key)
        frames = self.clips.frames(pool, clip)
        label = None
        if labeled and frames.annotated is not None:
            label = store.label(clip, frames.annotated, copy=False)
        asked = (v.placement.enlarged(key.rng("enlarge", v.name)) for v in views if v.placement.enlarges)
        factor = next((own for own in asked if own is not None), None)
        window = sampler.crop_window(store.size, self.crop, key, pool, label, wanted, factor)
        places = Draw(key, frames, store.size, window, self.crop).draw(views)
        reading = Reading(clip, label, self.clips.sources)
        sample.clips[pool] = clip
        for view in views:
            if isinstance(view.placement, Copy):
                sample.distortions[view.name] = view.placement.by.draw(key.rng("distort", view.name))
            else:
                self.read_view(sample, reading, view, places[view.name], window)
        if labeled and self.crop.jitter:
            sample.distortions[LABELED] = colour_jitter(self.crop.jitter).draw(key.rng("jitter"))

    def read_view(self, sample: Sample, reading: Reading, view: View, place: Place, common: Window) -> None:
        """The image of a view, and what comes with it. common: the window of its pool, whose size is that of all."""
        store, clip, name = self.clips.store, reading.clip, view.name
        window, size = Window(place.y, place.x, common.height, common.width), self.crop.size
        sample.places[name] = place
        image = resized(store.frame(clip, place.frame, window, copy=False), size)
        sample.images[name] = reading.images[name] = mirror(image, place.mirrored)
        if name in self.judged:
            sample.truth[name] = mirror(resized(_truth(store, clip, place.frame, window), size), place.mirrored)
        if (label := view.placement.label(reading, place.frame, window)) is not None:
            sample.labels[name] = mirror(resized(label, size), place.mirrored)
        if (extra := view.placement.extra(reading, view)) is not None:
            sample.extras[name] = extra


def _truth(store: ClipStore, clip: int, index: int, window: Window) -> Label:
    """The dataset's own label, hidden from training or not; all 255 where there is none."""
    record: ClipRecord = store.clips[clip]
    if index in record.labeled or index in record.hidden:
        return store.label(clip, index, window, hidden=True, copy=False)
    return np.full((window.height, window.width), IGNORE, np.uint8)


def _stacked(samples: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> dict[str, torch.Tensor]:
    """(b, ...) of each name."""
    return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}


def resized(image: Frame | Label, size: tuple[int, int]) -> Frame:
    """A frame (h, w, 3) or label (h, w) at (height, width): means of pixels, but the nearest pixel of a label."""
    if image.shape[:2] == size:
        return image
    how = cv2.INTER_NEAREST_EXACT if image.ndim == 2 else cv2.INTER_LINEAR
    if image.ndim == 3 and size < image.shape[:2]:
        how = cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size[::-1], interpolation=how), np.uint8)


def colour_jitter(strength: float) -> Jitter:
    """What `crop.jitter` does to the labeled frame."""
    return Jitter(strength, strength, strength, strength / 8, gray=0.0, blur_probability=0.0)


def mirror(image: Frame, mirrored: bool) -> Frame:
    """OpenCV mirrors pixels 40 times faster than a slice with a negative step."""
    return np.asarray(cv2.flip(image, 1), np.uint8) if mirrored else image
