"""Held-out frames made worse, always in the same way: fog, night, blur, noise, JPEG, camera shake; four strengths each.

After Hendrycks and Dietterich (ICLR 2019): the label stays true, only the picture changes. Lengths are shares of the
picture's diagonal, so a strength looks alike at every size. What is random depends on frame and kind alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.keyed import key_rng
from ifrkit.core.lazy import cv2
from ifrkit.core.records import Frame, Window
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import System
from ifrkit.metrics.base import ClipResult, Ids
from ifrkit.metrics.ece import Metric as Calibration
from ifrkit.metrics.miou import Metric as Accuracy

STRENGTHS = 4
FRAMES = 50
"""At most so many scored frames, spread evenly: every strength of every kind is one more pass over them."""

Picture = NDArray[Any]
"""(h, w, 3) float, 0 to 255."""


def _fog(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Light scattered into the picture, thicker in some places."""
    kept = (0.75, 0.55, 0.4, 0.25)[strength]
    h, w = picture.shape[:2]
    thickness = cv2.resize(rng.uniform(0.6, 1.4, (4, 6)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    through = (kept**thickness)[..., None]
    result: Picture = picture * through + 225 * (1 - through)
    return result


def _night(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Less light, bluish, and the noise of a sensor that has little of it."""
    gain, power, noise = ((0.8, 1.1, 3), (0.6, 1.3, 5), (0.45, 1.5, 8), (0.3, 1.7, 11))[strength]
    dark = 255 * gain * (picture / 255) ** power * np.array([0.85, 0.92, 1.1])
    result: Picture = dark + rng.normal(0, noise, picture.shape)
    return result


def _blur(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Out of focus."""
    sigma = max(0.4 * (strength + 1), _length(picture, (0.003, 0.006, 0.010, 0.016)[strength]))
    result: Picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    return result


def _noise(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Of a normal distribution, in every channel."""
    result: Picture = picture + rng.normal(0, (8, 16, 28, 45)[strength], picture.shape)
    return result


def _jpeg(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """Compressed too much."""
    quality = (40, 20, 10, 5)[strength]
    _, data = cv2.imencode(".jpg", picture.astype(np.uint8)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    result: Picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    return result


def _shake(picture: Picture, strength: int, rng: np.random.Generator) -> Picture:
    """The camera moves while the shutter is open: smeared along a line, another one in every frame."""
    reach = max(strength + 1, round(_length(picture, (0.008, 0.016, 0.028, 0.045)[strength]) / 2))
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    along = np.linspace(-reach, reach, 4 * reach + 1)
    rows, columns = (np.rint(reach + along * part).astype(int) for part in (np.sin(angle), np.cos(angle)))
    kernel[rows, columns] = 1
    result: Picture = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return result


def _length(picture: Picture, share: float) -> float:
    return share * float(np.hypot(*picture.shape[:2]))


KINDS: dict[str, Callable[[Picture, int, np.random.Generator], Picture]] = {
    "fog": _fog,
    "night": _night,
    "blur": _blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "shake": _shake,
}


def corrupted(frame: Frame, kind: str, strength: int, name: str) -> Frame:
    """A frame (h, w, 3) uint8 RGB made worse. strength: 1 to STRENGTHS. name: seeds what is random."""
    rng = key_rng("corruption", kind, name)  # the same fog, only thicker
    picture = KINDS[kind](frame.astype(np.float32), strength - 1, rng)
    worse: Frame = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return worse


class CorruptedStore(ClipStore):
    """The same clips, each frame made worse; labels and flow as they are."""

    def __init__(self, store: ClipStore, kind: str, strength: int) -> None:
        super().__init__(store.path)
        self.kind, self.strength = kind, strength

    def frame(self, clip: int, index: int, window: Window | None = None, *, copy: bool = True) -> Frame:
        worse = corrupted(
            super().frame(clip, index, copy=False), self.kind, self.strength, self.clips[clip].frames[index]
        )
        if window is None:
            return worse
        y, x, height, width = window
        return worse[y : y + height, x : x + width]


class Robustness:
    """What one system still sees: mIoU, accuracy and mean confidence of each kind and strength, and of clean frames.

    places: (clip, position) of all scored frames; distance: to the key frame; label: of a place.
    """

    def __init__(
        self,
        store: ClipStore,
        system: System,
        places: Sequence[tuple[int, int]],
        distance: int,
        label: Callable[[int, int], Ids],
    ) -> None:
        count = min(FRAMES, len(places))
        self.places = [places[i * len(places) // count] for i in range(count)]
        self.store, self.system, self.distance, self.label = store, system, distance, label
        k = store.labels.num_classes
        self.passes = [("clean", 0), *((kind, s) for kind in KINDS for s in range(1, STRENGTHS + 1))]
        self.metrics = {at: (Accuracy(k), Calibration(k)) for at in self.passes}

    def run(self, at: tuple[str, int], mine: slice) -> None:
        """Judge one pass. mine: which of the places this rank judges."""
        kind, strength = at
        store = self.store if kind == "clean" else CorruptedStore(self.store, kind, strength)
        for clip, index in self.places[mine]:
            label_hw = self.label(clip, index)
            size = (label_hw.shape[0], label_hw.shape[1])
            seen = self.system.scored(store, clip, index, max(0, index - self.distance), size)
            sure = {} if seen.confidence_hw is None else {index: seen.confidence_hw}
            result = ClipResult("", {index: seen.ids_hw}, {index: label_hw}, confidences=sure)
            for metric in self.metrics[at]:
                metric.update(result)

    def counts(self) -> dict[str, NDArray[np.int64]]:
        """Every sum, by a name that is the same on every rank."""
        return {
            f"{kind}/{strength}/{place}/{key}": value
            for (kind, strength), metrics in self.metrics.items()
            for place, metric in enumerate(metrics)
            for key, value in metric.counts.items()
        }

    def replace(self, counts: Mapping[str, NDArray[np.int64]]) -> None:
        """The sums of all ranks together, instead of this rank's own."""
        for (kind, strength), metrics in self.metrics.items():
            for place, metric in enumerate(metrics):
                metric.counts = {key: counts[f"{kind}/{strength}/{place}/{key}"] for key in metric.counts}

    def results(self) -> dict[str, Any]:
        """For `report.json`: of clean frames, and of each kind by strength."""
        kinds = {kind: [self._of((kind, s)) for s in range(1, STRENGTHS + 1)] for kind in KINDS}
        return {"frames": len(self.places), "clean": self._of(("clean", 0)), "kinds": kinds}

    def _of(self, at: tuple[str, int]) -> dict[str, Any]:
        accuracy, calibration = (metric.compute() for metric in self.metrics[at])
        return {"miou": accuracy["miou"], **{key: calibration[key] for key in ("accuracy", "confidence", "ece")}}
