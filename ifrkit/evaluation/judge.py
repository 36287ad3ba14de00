"""Runs every system over the clips of a split and counts, once for all metrics.

Two protocols. Scored: one frame at a fixed distance from its key frame (4 in the released code of IFR and Accel).
Stream: the whole clip in order, a new key frame each interval; temporal metrics need it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrkit.config.evaluate import EvalConfig
from ifrkit.core.plugins import load
from ifrkit.core.records import PairFlow
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.distances import Distances
from ifrkit.evaluation.scored import scored_frames
from ifrkit.evaluation.systems import Seen, System
from ifrkit.flow_sources.base import FlowSource
from ifrkit.metrics._confusion import confusion, iou, mean_present
from ifrkit.metrics.base import ClipResult, Ids, Metric

CACHED_FLOWS = 64
"""Pairs of frames whose flow is remembered: every system is judged by it, and clips may overlap."""

Draw = Callable[[int, int, Ids, Mapping[str, Seen]], None]
"""(clip, frame of the clip, its label, prediction of each system)."""


def _result(name: str, seen: Mapping[int, Seen], **truth: Any) -> ClipResult:
    """What was seen of a clip beside what is true of it."""
    sure = {index: one.confidence_hw if one.judged_hw is None else one.judged_hw for index, one in seen.items()}
    known = {index: sure_hw for index, sure_hw in sure.items() if sure_hw is not None}
    return ClipResult(name, {index: one.ids_hw for index, one in seen.items()}, confidences=known, **truth)


class Judge:
    """Counts of several systems. `clip` adds one clip; `counts` and `add` move the sums between ranks."""

    def __init__(
        self, store: ClipStore, config: EvalConfig, systems: Sequence[System], flow: FlowSource | None, draw: Draw
    ) -> None:
        self.store, self.config, self.systems, self.flow, self.draw = store, config, systems, flow, draw
        k = store.labels.num_classes
        self.metrics: dict[str, dict[str, Metric]] = {
            system.name: {name: load("metrics", name)(k) for name in config.metrics} for system in systems
        }
        kinds = list(self.metrics[systems[0].name].values())
        self.protocols = {metric.protocol for metric in kinds}
        self.needs = {need for metric in kinds for need in metric.needs}
        self.frames = np.zeros(2, np.int64)
        """Scored frames, and how many of them had a key frame nearer than the distance (their clip begins later)."""
        longest = max(len(record.frames) for record in store.clips)
        self.by_offset = {system.name: np.zeros((2 * longest - 1, k, k), np.int64) for system in systems}
        """Confusion of each position before, at and after the annotated frame: inner-video overfitting (Table 2)."""
        self.distances = Distances(store, systems, config.distances)
        self._flows: OrderedDict[tuple[str, str], PairFlow] = OrderedDict()

    def clip(self, clip: int) -> None:
        """Judge one clip."""
        if "scored" in self.protocols:
            for index in scored_frames(self.store.clips[clip], self.config.frames):
                self._scored(clip, index)
        if self.config.distances:
            for index in scored_frames(self.store.clips[clip], self.config.frames):
                self.distances.add(clip, index, self.label(clip, index))
        if "stream" in self.protocols and len(self.store.clips[clip].frames) > 1:
            self._stream(clip)

    def _scored(self, clip: int, index: int) -> None:
        key = max(0, index - self.config.distance)
        self.frames += [1, index - key < self.config.distance]
        label_hw = self.label(clip, index)
        size = (label_hw.shape[0], label_hw.shape[1])
        seen = {system.name: system.scored(self.store, clip, index, key, size) for system in self.systems}
        record = self.store.clips[clip]
        for name, one in seen.items():
            self._update(name, "scored", _result(record.name, {index: one}, labels={index: label_hw}))
            if record.annotated is not None:
                counts, place = self.by_offset[name], index - record.annotated
                counts[place + len(counts) // 2] += confusion(label_hw, one.ids_hw, counts.shape[1])
        self.draw(clip, index, label_hw, seen)

    def _stream(self, clip: int) -> None:
        record = self.store.clips[clip]
        labels: dict[int, Ids] = {}
        if "dense-labels" in self.needs:
            labels = {i: self.store.label(clip, i, hidden=True) for i in scored_frames(record, "all")}
        flows = {i: self._pair(clip, i) for i in range(len(record.frames) - 1)} if "flows" in self.needs else {}
        frames = {i: self.store.frame(clip, i) for i in range(len(record.frames))} if "frames" in self.needs else {}
        for system in self.systems:
            seen = dict(enumerate(system.stream(self.store, clip, self.config.key_interval)))
            self._update(system.name, "stream", _result(record.name, seen, labels=labels, flows=flows, frames=frames))

    def _update(self, system: str, protocol: str, result: ClipResult) -> None:
        for metric in self.metrics[system].values():
            if metric.protocol == protocol:
                metric.update(result)

    def label(self, clip: int, index: int) -> Ids:
        """The label that a frame is scored by."""
        full = self.config.label_size == "full"
        return self.store.full_label(clip, index) if full else self.store.label(clip, index, hidden=True)

    def _pair(self, clip: int, index: int) -> PairFlow:
        assert self.flow is not None
        names = self.store.clips[clip].frames
        pair = names[index], names[index + 1]
        if pair not in self._flows:
            self._flows[pair] = self.flow.pair(self.store, clip, index)
            if len(self._flows) > CACHED_FLOWS:
                self._flows.popitem(last=False)
        return self._flows[pair]

    def counts(self) -> dict[str, NDArray[np.int64]]:
        """Every sum, by a name that is the same on every rank."""
        counts: dict[str, NDArray[np.int64]] = {"frames": self.frames, **self.distances.counts()}
        counts |= {f"offset/{name}": value for name, value in self.by_offset.items()}
        for system, metrics in self.metrics.items():
            for name, metric in metrics.items():
                counts |= {f"{system}/{name}/{key}": value for key, value in metric.counts.items()}
        return counts

    def replace(self, counts: Mapping[str, NDArray[np.int64]]) -> None:
        """The sums of all ranks together, instead of this rank's own."""
        self.frames = counts["frames"]
        self.distances.replace(counts)
        self.by_offset = {name: counts[f"offset/{name}"] for name in self.by_offset}
        for system, metrics in self.metrics.items():
            for name, metric in metrics.items():
                metric.counts = {key: counts[f"{system}/{name}/{key}"] for key in metric.counts}

    def results(self) -> dict[str, dict[str, Any]]:
        """What each metric of each system computes."""
        return {system: {n: m.compute() for n, m in metrics.items()} for system, metrics in self.metrics.items()}

    def inner_video(self) -> dict[str, dict[str, Any]]:
        """mIoU of the annotated frames beside the other frames of the same clips, and of each position."""
        found = {}
        for name, counts in self.by_offset.items():
            centre = len(counts) // 2
            others = counts.sum(0) - counts[centre]
            offsets = [i for i, matrix in enumerate(counts) if matrix.any()]
            found[name] = {
                "annotated": mean_present(iou(counts[centre])),
                "others": mean_present(iou(others)),
                "by_offset": {str(i - centre): mean_present(iou(counts[i])) for i in offsets},
            }
        return found
