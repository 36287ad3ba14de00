"""Clips to be judged by metrics: predictions, labels and flow made from a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.records import PairFlow
from ifrkit.metrics.base import ClipResult

CLASSES = 4
LENGTH = 18
"""Long enough for every window of mVC16."""


def ids(*rows: str) -> NDArray[np.uint8]:
    """A map of one-digit ids, "." = ignore: ids("012", "00.")."""
    return np.array([[255 if c == "." else int(c) for c in row] for row in rows], np.uint8)


def steady(flow: tuple[float, float], size: tuple[int, int]) -> PairFlow:
    """The same flow (x, y) in every pixel, every pixel consistent."""
    flow_2hw = np.broadcast_to(np.array(flow, np.float32)[:, None, None], (2, *size))
    return PairFlow(np.ascontiguousarray(flow_2hw), np.ones(size, bool))


def moving(predictions: Sequence[NDArray[np.uint8]], *flows: tuple[float, float]) -> ClipResult:
    """Predictions of a clip with one flow vector for each pair."""
    pairs = {i: steady(flow, predictions[0].shape) for i, flow in enumerate(flows)}
    return ClipResult("moving", dict(enumerate(predictions)), flows=pairs)


def random_clip(seed: int, classes: int = CLASSES, size: tuple[int, int] = (3, 5)) -> ClipResult:
    """Noise, but slow enough for windows to have constant pixels; labels have ignored pixels. Nothing is left out."""
    rng = np.random.default_rng(seed)
    labels, predictions = ({0: rng.integers(0, classes, size).astype(np.uint8)} for _ in range(2))
    for frames, ignore in ((labels, 255), (predictions, 0)):
        for index in range(1, LENGTH):
            fresh = rng.integers(0, classes, size).astype(np.uint8)
            fresh[rng.random(size) < 0.2] = ignore
            frames[index] = np.where(rng.random(size) < 0.05, fresh, frames[index - 1])
    flows = {
        index: PairFlow(rng.normal(0, 2, (2, *size)).astype(np.float32), rng.random(size) < 0.7)
        for index in range(LENGTH - 1)
    }
    sure = {index: rng.uniform(1 / classes, 1, size).astype(np.float32) for index in range(LENGTH)}
    # A still picture of few colours: often the flow leads to the same colour.
    frames = dict.fromkeys(range(LENGTH), rng.integers(0, 2, (*size, 1), np.uint8).repeat(3, 2) * 200)
    return ClipResult(f"clip{seed}", predictions, labels, flows, sure, frames)
