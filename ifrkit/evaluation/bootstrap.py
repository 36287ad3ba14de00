"""Paired bootstrap intervals of mIoU differences, over clips and over seeds.

mIoU is not a mean over clips: whole clips are drawn with replacement and their confusion matrices summed. Both
rows of a comparison get the same clips; and the same seeds, where they were trained with the same ones (Efron and
Tibshirani 1993, chapter 13: percentile intervals).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

RESAMPLES = 2000
LEVEL = 0.95

Counts = NDArray[np.int64]
"""(clips, k, k): the confusion matrix of every clip."""


class Difference(NamedTuple):
    """First minus second row, as a fraction, with its interval; the interval is None with fewer than two clips."""

    value: float
    interval: tuple[float, float] | None


def miou(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """mIoU over the last two axes, mean of the classes that occur. Source: the rule of `metrics/miou.py`."""
    inter = np.diagonal(matrices, axis1=-2, axis2=-1)
    union = matrices.sum(-1) + matrices.sum(-2) - inter
    shares = np.divide(inter, union, out=np.zeros(union.shape), where=union > 0)
    result: NDArray[np.float64] = shares.sum(-1) / np.maximum((union > 0).sum(-1), 1)
    return result


def difference(
    first: Sequence[Counts],
    second: Sequence[Counts],
    *,
    paired_seeds: bool,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Mean mIoU over seeds of `first` minus that of `second`; one `Counts` a seed, all of the same clips.

    paired_seeds: the n-th of both have the same seed. A row with one seed says nothing about seeds: only clips are
    drawn then. seed: of the draws; the same again gives the same interval.
    """
    ours, theirs = (np.stack(counts).astype(np.float64) for counts in (first, second))
    clips = ours.shape[1]
    if paired_seeds and len(ours) != len(theirs):
        raise ValueError("paired seeds need as many in both rows")
    groups = (len(ours),) if paired_seeds else (len(ours), len(theirs))
    drawn = [size for size in groups if size > 1]

    def statistic(*samples: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        picked = np.atleast_2d(np.moveaxis(samples[0], axis, -1))
        weights = np.stack([np.bincount(row, minlength=clips) for row in picked]).astype(np.float64)
        rest = iter(np.atleast_2d(np.moveaxis(s, axis, -1)) for s in samples[1:])
        seeds = [next(rest) if size > 1 else np.zeros((len(picked), 1), np.int64) for size in groups]
        found = _mean(ours, weights, seeds[0]) - _mean(theirs, weights, seeds[-1])
        return found if samples[0].ndim > 1 else found[0]

    samples = [np.arange(clips), *(np.arange(size) for size in drawn)]
    value = float(statistic(*samples))
    if clips < 2:
        return Difference(value, None)
    result = bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        batch=250,  # of (draws, seeds, k, k) doubles
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Difference(value, (float(low), float(high)))


def _mean(counts: NDArray[np.float64], weights: NDArray[np.float64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    """(draws,): mean over the drawn seeds of the mIoU of the drawn clips. counts (s, clips, k, k)."""
    values = miou(np.einsum("dc,scij->dsij", weights, counts, optimize=True))
    result: NDArray[np.float64] = np.take_along_axis(values, seeds, 1).mean(1)
    return result
