"""Accuracy over the distance to the key frame, and so over the key interval (Accel, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import System
from ifrkit.metrics._confusion import confusion, iou, mean_present
from ifrkit.metrics.base import Ids


class Distances:
    """Confusion matrices of each system at distances 0..count-1.

    Only frames that have `count - 1` others before them in their clip: the same frames at every distance.
    """

    def __init__(self, store: ClipStore, systems: Sequence[System], count: int) -> None:
        self.store, self.systems, self.count = store, systems, count
        k = store.labels.num_classes
        self.frames = np.zeros(1, np.int64)
        self.at = {system.name: np.zeros((count, k, k), np.int64) for system in systems}
        self.pooled = {system.name: np.zeros((count, k, k), np.int64) for system in systems}
        """Of key intervals 1..count: clip i at distance i mod interval."""

    def add(self, clip: int, index: int, label_hw: Ids) -> None:
        """Judge one frame, its key frame at each distance before it."""
        if index < self.count - 1:
            return
        self.frames += 1
        size = (label_hw.shape[0], label_hw.shape[1])
        for system in self.systems:
            for distance in range(self.count):
                ids_hw = system.scored(self.store, clip, index, index - distance, size).ids_hw
                counts = confusion(label_hw, ids_hw, self.store.labels.num_classes)
                self.at[system.name][distance] += counts
                for interval in range(distance + 1, self.count + 1):
                    if clip % interval == distance:
                        self.pooled[system.name][interval - 1] += counts

    def counts(self) -> dict[str, NDArray[np.int64]]:
        """Every sum, by a name that is the same on every rank."""
        found: dict[str, NDArray[np.int64]] = {"distances": self.frames}
        found |= {f"at/{name}": counts for name, counts in self.at.items()}
        return found | {f"pooled/{name}": counts for name, counts in self.pooled.items()}

    def replace(self, counts: Mapping[str, NDArray[np.int64]]) -> None:
        """The sums of all ranks together, instead of this rank's own."""
        self.frames = counts["distances"]
        self.at = {name: counts[f"at/{name}"] for name in self.at}
        self.pooled = {name: counts[f"pooled/{name}"] for name in self.pooled}

    def results(self) -> dict[str, Any]:
        """Of each system: mIoU `at` each distance; of key intervals 1..count their `mean`, and all clips `pooled`."""
        systems = {}
        for name in self.at:
            at = [mean_present(iou(matrix)) for matrix in self.at[name]]
            systems[name] = {
                "at": at,
                "mean": [_mean(at[: i + 1]) for i in range(self.count)],
                "pooled": [mean_present(iou(matrix)) for matrix in self.pooled[name]],
            }
        return {"scored_frames": int(self.frames[0]), "systems": systems}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
