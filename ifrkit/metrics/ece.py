"""Expected calibration error and reliability curves, of each class too (Naeini et al., AAAI 2015; Guo et al., 2017).

A confidence is the probability that the model gives to the class that it predicts. Calibrated: of the pixels with
80 % confidence, 80 % are right. Pixels are sorted into 15 bins by their confidence; in each, |share right - mean
confidence| is the error, and the bins' errors are averaged over the pixels. Of a class: the pixels predicted as it.
"""

from __future__ import annotations

from typing import Any

import ifrkit.metrics.base as base
from ifrkit.core.lazy import np
from ifrkit.metrics._confidences import judged, sums
from ifrkit.metrics._confusion import Counts

BINS = 15
SCALE = 1 << 24
"""Confidences are summed in 2^-24 steps, so that shards add up exactly in any order."""


class Metric(base.Metric):
    """Of the whole split; `per_class` the error of each predicted class, `curve` and `curves` what they are made of."""

    needs = frozenset({"labels", "confidences"})
    headline = "ece"
    title = "ECE"
    smaller_is_better = True

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        keys = ("pixels", "right", "confidence")
        self.counts = {key: np.zeros((num_classes, BINS), np.int64) for key in keys}

    def update(self, clip: base.ClipResult) -> None:
        for pixels in judged(clip, self.num_classes):
            place = np.minimum((pixels.confidence * BINS).astype(np.int64), BINS - 1)
            place += BINS * pixels.ids.astype(np.int64)
            steps = np.rint(pixels.confidence * SCALE)
            for key, values in (("pixels", None), ("right", pixels.right), ("confidence", steps)):
                self.counts[key] += sums(place, BINS * self.num_classes, values).reshape(-1, BINS)

    def compute(self) -> dict[str, Any]:
        counts = self.counts["pixels"], self.counts["right"], self.counts["confidence"]
        total = _curve(*(array.sum(0) for array in counts))
        classes = [_curve(*rows) for rows in zip(*counts, strict=True)]
        return {
            "ece": total["ece"],
            "confidence": total["confidence"],
            "accuracy": total["accuracy"],
            "per_class": [curve["ece"] for curve in classes],
            "curve": total["bins"],
            "curves": [curve["bins"] for curve in classes],
        }


def _curve(pixels: Counts, right: Counts, steps: Counts) -> dict[str, Any]:
    """The error of one set of pixels, its means, and of each bin that is not empty its place on the curve."""
    total = int(pixels.sum())
    if not total:
        return {"ece": None, "confidence": None, "accuracy": None, "bins": []}
    error = np.abs(right - steps / SCALE).sum() / total
    bins = [
        {"pixels": int(n), "confidence": float(s / SCALE / n), "accuracy": float(r / n)}
        for n, r, s in zip(pixels, right, steps, strict=True)
        if n
    ]
    means = {"confidence": float(steps.sum() / SCALE / total), "accuracy": float(right.sum() / total)}
    return {"ece": float(error), **means, "bins": bins}
