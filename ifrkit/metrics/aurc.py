"""Area under the risk-coverage curve (Geifman and El-Yaniv, NeurIPS 2017): can confidence tell right from wrong?

Pixels are kept from the most to the least confident. Coverage is the share that is kept, risk the share of those that
is wrong; the area is the mean risk over all coverages. Unlike the calibration error it does not ask for true
probabilities, only for the right order.

Confidences are sorted into bins of equal width on the scale of log(p / (1 - p)), so that memory is constant and what is
near 1 stays apart. Pixels of one bin count as in random order, which has an exact sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

import ifrkit.metrics.base as base
from ifrkit.metrics._confidences import judged, sums

BINS = 1024
LOWEST, HIGHEST = -6.0, 18.0
"""log(p / (1 - p)) of the ends: below 1/255, and nearer to 1 than any float32 below it."""
COVERAGES = tuple(i / 20 for i in range(1, 21))


class Metric(base.Metric):
    """The area; `excess` is what a perfect order of the same predictions would save; `curve` at every 5 % of coverage.

    Each point of the curve has the `threshold`: the lowest confidence that is kept.
    """

    needs = frozenset({"labels", "confidences"})
    headline = "aurc"
    title = "AURC"
    smaller_is_better = True

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.counts = {key: np.zeros(BINS, np.int64) for key in ("pixels", "wrong")}

    def update(self, clip: base.ClipResult) -> None:
        for pixels in judged(clip, self.num_classes):
            place = bin_of(pixels.confidence)
            self.counts["pixels"] += sums(place, BINS)
            self.counts["wrong"] += sums(place, BINS, ~pixels.right)

    def compute(self) -> dict[str, Any]:
        pixels, wrong = (self.counts[key][::-1].astype(np.float64) for key in ("pixels", "wrong"))
        total, errors = float(pixels.sum()), float(wrong.sum())
        if not total:
            return {"aurc": None, "excess": None, "curve": []}
        area = _sum_of_risks(pixels, wrong) / total
        right = total - errors
        # Best: every right pixel first, then risk i / (right + i) for the i-th wrong one.
        best = (errors - right * float(digamma(total + 1) - digamma(right + 1))) / total
        return {"aurc": area, "excess": max(0.0, area - best), "curve": _curve(pixels, wrong)}


def bin_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each probability, 0 to BINS - 1; rising."""
    with np.errstate(divide="ignore"):
        logit = np.log(confidence) - np.log1p(-confidence)
    steps = (np.clip(logit, LOWEST, HIGHEST) - LOWEST) * (BINS / (HIGHEST - LOWEST))
    places: NDArray[np.int64] = np.minimum(steps.astype(np.int64), BINS - 1)
    return places


def _sum_of_risks(pixels: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    """Sum over all kept counts of the risk, bins most confident first.

    In a bin of n pixels with e errors after N pixels with E errors, risk j is (E + j e / n) / (N + j): the sum over
    j = 1..n is e + (E - N e / n) (1/(N+1) + ... + 1/(N+n)).
    """
    filled = pixels > 0
    n, e = pixels[filled], wrong[filled]
    before, errors = np.cumsum(n) - n, np.cumsum(e) - e
    harmonic = digamma(before + n + 1) - digamma(before + 1)
    return float((e + (errors - before * e / n) * harmonic).sum())


def _curve(pixels: NDArray[np.float64], wrong: NDArray[np.float64]) -> list[dict[str, float]]:
    kept, errors, total = np.cumsum(pixels), np.cumsum(wrong), pixels.sum()
    edges = LOWEST + (HIGHEST - LOWEST) * np.arange(BINS)[::-1] / BINS
    points = []
    for coverage in COVERAGES:
        # The bin in which the coverage is reached; its pixels are alike, so a part of them has its own risk.
        last = int(np.searchsorted(kept, coverage * total * (1 - 1e-12)))
        part = coverage * total - (kept[last] - pixels[last])
        risk = (errors[last] - wrong[last] + part * wrong[last] / pixels[last]) / (coverage * total)
        threshold = 1 / (1 + np.exp(-edges[last]))
        points.append({"coverage": coverage, "risk": float(risk), "threshold": float(threshold)})
    return points
