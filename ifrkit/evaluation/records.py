"""What a report keeps of every clip and every scored frame: `records.npz`.

Metrics are sums over clips, so the counts of one clip are what the sums grow by when it is judged. From them come
intervals (resampled clips), temporal consistency of each clip, and which frames went best and worst.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrkit.artifacts.store import REMAKE, Artifact
from ifrkit.core.errors import ArtifactError
from ifrkit.core.plugins import load
from ifrkit.evaluation.judge import Judge
from ifrkit.metrics._confusion import confusion, iou, mean_present
from ifrkit.metrics.base import Ids

FILE = "records.npz"
EXTREMES = 10
"""How many of the best and of the worst frames are drawn."""

Place = tuple[int, int]
"""(clip of the store, frame of the clip)."""


class Recorder:
    """Judges clip by clip and remembers what each added.

    clips: those of the whole split, in order; frames: the scored ones. A rank fills its own rows: arrays add up.
    """

    def __init__(self, judge: Judge, clips: Sequence[int], frames: Sequence[Place]) -> None:
        self.judge, self.frames = judge, list(frames) if "scored" in judge.protocols else []
        self.clips = {clip: row for row, clip in enumerate(clips)}
        self._rows = {place: row for row, place in enumerate(self.frames)}
        self.arrays: dict[str, NDArray[Any]] = {
            key: np.zeros((len(clips), *value.shape), np.int64) for key, value in self._sums().items()
        }
        self.arrays["frame_miou"] = np.zeros(len(self.frames))

    def _sums(self) -> dict[str, NDArray[np.int64]]:
        metrics = ((f"{s}/{name}", m) for s, named in self.judge.metrics.items() for name, m in named.items())
        return {f"{name}/{key}": value for name, metric in metrics for key, value in metric.counts.items()}

    def clip(self, clip: int) -> None:
        """Judge one clip."""
        before = {key: value.copy() for key, value in self._sums().items()}
        self.judge.clip(clip)
        for key, value in self._sums().items():
            self.arrays[key][self.clips[clip]] = value - before[key]

    def frame(self, clip: int, index: int, label_hw: Ids, ids_hw: Ids) -> None:
        """Remember how well a frame was predicted: mIoU of the classes in it; NaN where all is ignored."""
        value = mean_present(iou(confusion(label_hw, ids_hw, self.judge.store.labels.num_classes)))
        self.arrays["frame_miou"][self._rows[clip, index]] = np.nan if value is None else value

    def extremes(self) -> tuple[list[Place], list[Place]]:
        """The best frames, best first, and the worst, worst first; ties in order; never a frame in both."""
        known = [row for row in range(len(self.frames)) if not np.isnan(self.arrays["frame_miou"][row])]
        ranked = sorted(known, key=lambda row: float(self.arrays["frame_miou"][row]))
        count = min(EXTREMES, len(ranked) // 2)
        worst, best = ranked[:count], ranked[::-1][:count]
        return [self.frames[row] for row in best], [self.frames[row] for row in worst]

    def save(self, path: Path) -> None:
        """Write everything, with the names of clips and frames."""
        records = self.judge.store.clips
        names = [records[clip].frames[index] for clip, index in self.frames]
        clips = [records[clip].name for clip in self.clips]
        texts: dict[str, Any] = {"clips": np.array(clips, np.str_), "frames": np.array(names, np.str_)}
        np.savez_compressed(path, **{**texts, **self.arrays})


@dataclass(frozen=True)
class Records:
    """`records.npz` of a report.

    clips, frames: names. frame_miou: of the first system, as many as frames, NaN where all is ignored.
    counts: by "SYSTEM/METRIC/KEY", the first axis are the clips.
    """

    clips: list[str]
    frames: list[str]
    frame_miou: NDArray[np.float64]
    counts: Mapping[str, NDArray[np.int64]]

    def of(self, system: str, metric: str) -> dict[str, NDArray[np.int64]]:
        """Counts of one metric of one system."""
        prefix = f"{system}/{metric}/"
        return {key.removeprefix(prefix): value for key, value in self.counts.items() if key.startswith(prefix)}

    def by_clip(self, system: str, metric: str) -> list[float | None]:
        """The headline of a metric for each clip by itself; None where nothing was counted."""
        counts = self.of(system, metric)
        kind = load("metrics", metric)
        found = []
        for row in range(len(self.clips)):
            one = kind(len(next(iter(counts.values()))[row]))
            one.counts = {key: value[row] for key, value in counts.items()}
            found.append(one.compute()[kind.headline])
        return found


def read_records(report: Artifact) -> Records | None:
    """The records of a report; None for one that an older version made. Raises ArtifactError."""
    if not report.has(FILE):
        return None
    path = report.file(FILE)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        clips, frames = ([str(name) for name in arrays.pop(key)] for key in ("clips", "frames"))
        return Records(clips, frames, arrays.pop("frame_miou"), arrays)
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path}: cannot be read ({error})", REMAKE) from None
