"""Frames of a dataset in order, read, checked, resized and encoded by all cores, with bounded memory."""

from __future__ import annotations

import gc
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from data_prep.base import Dataset
from ifrkit.core.errors import DatasetError, ResourceError
from ifrkit.core.records import IGNORE, Frame, Label, TrueFlow
from ifrkit.data.store.file import StoredFrame
from ifrkit.data.store.layout import require_size
from ifrkit.data.store.rows import encode
from ifrkit.media.resize import resize_frame, resize_label

CHUNK_BYTES = 8 << 20
"""About what one task of a worker returns. Two a worker are under way: memory does not grow with the dataset."""


@dataclass(frozen=True)
class Recipe:
    """How a frame of the dataset becomes one of the store.

    own_size: the size that every frame must have; None: any. labels: names of frames with a label; full_labels: names
    of frames whose label is also kept at its own size. num_classes: larger ids are refused, but for 255.
    """

    size: tuple[int, int]
    own_size: tuple[int, int] | None
    codec: str
    jpeg_quality: int
    num_classes: int
    labels: frozenset[str]
    full_labels: frozenset[str]

    def read(self, dataset: Dataset, names: Sequence[str]) -> list[StoredFrame]:
        """Frames of the store by name. Raises DatasetError for what does not fit."""
        return [self._stored(dataset, name, frame) for name, frame in dataset.frames(list(names))]

    def _stored(self, dataset: Dataset, name: str, frame: Frame) -> StoredFrame:
        own = _size(frame)
        if self.own_size:
            require_size(name, own, self.own_size)
        label = self._label(dataset, name, own) if name in self.labels else None
        resized = resize_frame(frame, self.size)
        pixels = resized if self.codec == "raw" else encode(resized, self.codec, self.jpeg_quality)
        stored = None if label is None else resize_label(label, self.size)
        full = label if name in self.full_labels else None
        return StoredFrame(pixels, stored, full, self._flow(dataset, name, True), self._flow(dataset, name, False))

    def _label(self, dataset: Dataset, name: str, frame_size: tuple[int, int]) -> Label:
        label = dataset.label(name)
        if self.own_size and label.shape != frame_size:
            fault = f"the label of frame {name} has {label.shape[1]}x{label.shape[0]} pixels"
            remedy = "store both at one size with --set size=[HEIGHT,WIDTH]"
            raise DatasetError(f"{fault}, the frame {frame_size[1]}x{frame_size[0]}", remedy)
        ids = np.flatnonzero(np.bincount(label.ravel(), minlength=IGNORE + 1))
        outside = [int(i) for i in ids if i >= self.num_classes and i != IGNORE]
        if outside:
            fault = f"the label of frame {name} holds ids {outside[:8]} outside 0..{self.num_classes - 1} and {IGNORE}"
            raise DatasetError(fault, "map them to classes, or to 255 (ignore)")
        return label

    def _flow(self, dataset: Dataset, name: str, backward: bool) -> TrueFlow | None:
        return dataset.flow(name, backward=backward) if dataset.has_flow else None


def _size(frame: Frame) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]


class FrameReader:
    """Reads frames in worker processes; with workers=0 in this one. Use as a context manager."""

    def __init__(self, dataset: Dataset, recipe: Recipe, names: Iterable[str], workers: int) -> None:
        height, width = recipe.size
        stored = height * width * (3 + (18 if dataset.has_flow else 0))
        length = max(1, min(32, CHUNK_BYTES // stored))
        names = iter(names)
        self._chunks = iter(lambda: list(islice(names, length)), [])
        self._dataset, self._recipe, self._ahead = dataset, recipe, 2 * workers
        self._pool = None
        if workers:
            # Pickled here, not inherited: an open video file must not be shared with its copies.
            # Which frames have a label goes with each task: of a long video that is a long list.
            short = replace(recipe, labels=frozenset(), full_labels=frozenset())
            arguments = (pickle.dumps((dataset.reader(), short)), os.getpid())
            self._pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=arguments)
        self._pending: deque[Future[list[StoredFrame]]] = deque()
        self._fill()  # forks now, while no other thread (a progress bar's) can hold a lock

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[StoredFrame]:
        """Every frame once, in the order of the names."""
        if self._pool is None:
            for chunk in self._chunks:
                yield from self._recipe.read(self._dataset, chunk)
        while self._pending:
            try:
                done = self._pending.popleft().result()
            except BrokenProcessPool as error:
                raise ResourceError("a reading process was killed", "free some memory and run again") from error
            self._fill()
            yield from done

    def _fill(self) -> None:
        while self._pool and len(self._pending) < self._ahead and (names := next(self._chunks, None)):
            labels = (frozenset(names) & kept for kept in (self._recipe.labels, self._recipe.full_labels))
            self._pending.append(self._pool.submit(_read, names, *labels))


_worker: tuple[Dataset, Recipe]


def _start_worker(pickled: bytes, parent: int) -> None:
    global _worker
    import cv2

    # Signals to the group are the parent's business: it finishes in order. The workers end when it does.
    os.setpgrp()
    # What the parent held is shared until someone writes to it, as a collection does to every object that it looks at.
    gc.freeze()
    cv2.setNumThreads(0)
    _worker = pickle.loads(pickled)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _read(names: Sequence[str], labels: frozenset[str], full_labels: frozenset[str]) -> list[StoredFrame]:
    dataset, recipe = _worker
    return replace(recipe, labels=labels, full_labels=full_labels).read(dataset, names)
