"""What a report keeps of every clip and every scored frame: `records.npz`.

Metrics are sums over clips, so the counts of one clip are what the sums grow by when it is judged. From them come
intervals (resampled videos), temporal consistency of each clip, and which frames went best and worst.
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
from ifrkit.evaluation.systems import Seen
from ifrkit.metrics._confusion import confusion, iou, mean_present
from ifrkit.metrics.base import Ids, Metric

FILE = "records.npz"
EXTREMES = 10
"""How many of the best and of the worst frames are drawn."""

TEXTS = ("clips", "videos", "frames")
OF_FRAMES = ("frame_miou", "frame_accuracy", "frame_confidence")

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
        self.arrays |= {key: np.zeros(len(self.frames)) for key in OF_FRAMES}

    def _sums(self) -> dict[str, NDArray[np.int64]]:
        metrics = ((f"{s}/{name}", m) for s, named in self.judge.metrics.items() for name, m in named.items())
        return {f"{name}/{key}": value for name, metric in metrics for key, value in metric.counts.items()}

    def clip(self, clip: int) -> None:
        """Judge one clip."""
        before = {key: value.copy() for key, value in self._sums().items()}
        self.judge.clip(clip)
        for key, value in self._sums().items():
            self.arrays[key][self.clips[clip]] = value - before[key]

    def frame(self, clip: int, index: int, label_hw: Ids, seen: Seen) -> None:
        """Remember how well a frame was predicted, and how sure the model was of all of it."""
        matrix = confusion(label_hw, seen.ids_hw, self.judge.store.labels.num_classes)
        value, pixels = mean_present(iou(matrix)), matrix.sum()
        found = {
            "frame_miou": np.nan if value is None else value,
            "frame_accuracy": np.diag(matrix).sum() / pixels if pixels else np.nan,
            "frame_confidence": np.nan if seen.confidence_hw is None else seen.confidence_hw.mean(dtype=np.float64),
        }
        for key, number in found.items():
            self.arrays[key][self._rows[clip, index]] = number

    def extremes(self) -> tuple[list[Place], list[Place]]:
        """The best frames, best first, and the worst, worst first; ties in order; never a frame in both."""
        known = [row for row in range(len(self.frames)) if not np.isnan(self.arrays["frame_miou"][row])]
        ranked = sorted(known, key=lambda row: float(self.arrays["frame_miou"][row]))
        count = min(EXTREMES, len(ranked) // 2)
        worst, best = ranked[:count], ranked[::-1][:count]
        return [self.frames[row] for row in best], [self.frames[row] for row in worst]

    def records(self) -> Records:
        """What was remembered so far."""
        stored, arrays = self.judge.store.clips, dict(self.arrays)
        return Records(
            clips=[stored[clip].name for clip in self.clips],
            videos=[stored[clip].video for clip in self.clips],
            frames=[stored[clip].frames[index] for clip, index in self.frames],
            num_classes=self.judge.store.labels.num_classes,
            **{key: arrays.pop(key) for key in OF_FRAMES},
            counts=arrays,
        )


@dataclass(frozen=True)
class Records:
    """`records.npz` of a report.

    clips, frames: names; videos: of which each clip is. Of each frame, by the first system: mIoU of the classes in it
    and pixel accuracy (NaN where all is ignored), and the mean confidence of all its pixels (NaN where nobody asked).
    counts: by "SYSTEM/METRIC/KEY", the first axis are the clips.
    """

    clips: list[str]
    videos: list[str]
    frames: list[str]
    num_classes: int
    frame_miou: NDArray[np.float64]
    frame_accuracy: NDArray[np.float64]
    frame_confidence: NDArray[np.float64]
    counts: Mapping[str, NDArray[np.int64]]

    def save(self, path: Path) -> None:
        """Write everything."""
        texts = {key: np.array(getattr(self, key), np.str_) for key in TEXTS}
        rest: dict[str, Any] = {"num_classes": np.int64(self.num_classes)}
        rest |= {key: getattr(self, key) for key in OF_FRAMES}
        np.savez_compressed(path, **{**texts, **rest, **self.counts})

    @property
    def video_names(self) -> list[str]:
        """Each video once: what is independent."""
        return list(dict.fromkeys(self.videos))

    def of(self, system: str, metric: str) -> dict[str, NDArray[np.int64]]:
        """Counts of one metric of one system."""
        prefix = f"{system}/{metric}/"
        return {key.removeprefix(prefix): value for key, value in self.counts.items() if key.startswith(prefix)}

    def by_video(self, system: str, metric: str) -> dict[str, NDArray[np.int64]]:
        """As `of`, the first axis are the videos, in the order of `video_names`."""
        names = self.video_names
        rows = np.array([names.index(video) for video in self.videos])
        found = {}
        for key, value in self.of(system, metric).items():
            found[key] = np.zeros((len(names), *value.shape[1:]), np.int64)
            np.add.at(found[key], rows, value)
        return found

    def headline(self, metric: str, counts: Mapping[str, NDArray[np.int64]]) -> float | None:
        """The headline that these counts have; None where nothing was counted."""
        one: Metric = load("metrics", metric)(self.num_classes)
        one.counts = dict(counts)
        value: float | None = one.compute()[one.headline]
        return value

    def each(self, metric: str, counts: Mapping[str, NDArray[np.int64]]) -> list[float | None]:
        """The headline for each clip or video by itself. counts: of `of` or `by_video`."""
        rows = len(next(iter(counts.values())))
        return [self.headline(metric, {key: value[row] for key, value in counts.items()}) for row in range(rows)]


def read_records(report: Artifact) -> Records | None:
    """The records of a report; None for one that an older version made. Raises ArtifactError."""
    if not report.has(FILE):
        return None
    path = report.file(FILE)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        if not {*TEXTS, *OF_FRAMES, "num_classes"} <= arrays.keys():
            return None
        clips, videos, frames = ([str(name) for name in arrays.pop(key)] for key in TEXTS)
        classes, (miou, accuracy, confidence) = int(arrays.pop("num_classes")), [arrays.pop(key) for key in OF_FRAMES]
        return Records(clips, videos, frames, classes, miou, accuracy, confidence, arrays)
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path}: cannot be read ({error})", REMAKE) from None
