"""Paired bootstrap of mIoU differences, over videos and over seeds.

Frames of one video are alike, so the videos are what is independent. mIoU is not a mean over videos: whole videos are
drawn with replacement and their confusion matrices summed. Both rows of a comparison get the same videos; and the same
seeds, where they were trained with the same ones (Efron and Tibshirani 1993, chapter 13: percentile intervals).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

RESAMPLES = 2000
LEVEL = 0.95
POWER = 0.8
"""Chance to tell a difference that is there."""

Counts = NDArray[np.int64]
"""(videos, k, k): the confusion matrix of every video."""


@dataclass(frozen=True)
class Difference:
    """First minus second row, as a fraction. draws: of the bootstrap, (n,); None: one video and one seed.

    seeds: of each row.
    """

    value: float
    videos: int
    seeds: tuple[int, int]
    draws: NDArray[np.float64] | None

    def between(self, level: float) -> tuple[float, float] | None:
        """The interval at this level."""
        if self.draws is None:
            return None
        low, high = np.percentile(self.draws, [50 * (1 - level), 50 * (1 + level)])
        return float(low), float(high)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval at 95 %."""
        return self.between(LEVEL)

    def told(self, comparisons: int = 1) -> bool:
        """Whether it is more than chance, as one of so many comparisons (Bonferroni): its interval leaves out 0."""
        low, high = self.between(together(comparisons)) or (0.0, 0.0)
        return low > 0 or high < 0


def together(comparisons: int) -> float:
    """The level of each of so many intervals, so that all of them hold the truth at 95 % (Bonferroni)."""
    return 1 - (1 - LEVEL) / comparisons


def miou(matrices: NDArray[Any]) -> NDArray[np.float64]:
    """mIoU over the last two axes, mean of the classes that occur. Source: the rule of `metrics/miou.py`."""
    inter = np.diagonal(matrices, axis1=-2, axis2=-1)
    union = matrices.sum(-1) + matrices.sum(-2) - inter
    shares = np.divide(inter, union, out=np.zeros(union.shape), where=union > 0)
    result: NDArray[np.float64] = shares.sum(-1) / np.maximum((union > 0).sum(-1), 1)
    return result


class Pair:
    """Two rows of a comparison: their counts, one `Counts` a seed, all of the same videos.

    paired_seeds: the n-th of both have the same seed. A row with one seed says nothing about seeds: only videos are
    drawn then. Of one video, only seeds.
    """

    def __init__(self, first: Sequence[Counts], second: Sequence[Counts], *, paired_seeds: bool) -> None:
        ours, theirs = (np.stack(counts).astype(np.float64) for counts in (first, second))
        there = (ours.sum(0) + theirs.sum(0)).any((1, 2))  # a video without labels says nothing
        self.ours, self.theirs = ours[:, there], theirs[:, there]
        if paired_seeds and len(self.ours) != len(self.theirs):
            raise ValueError("paired seeds need as many in both rows")
        self.videos = self.ours.shape[1]
        self.groups = (len(self.ours),) if paired_seeds else (len(self.ours), len(self.theirs))

    def difference(self, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
        """See Difference. seed: of the draws; the same again gives the same interval."""
        draws = self.draws(resamples, seed, videos=True, seeds=True)
        return Difference(self._value(), self.videos, (len(self.ours), len(self.theirs)), draws)

    def _value(self) -> float:
        ours, theirs = (miou(counts.sum(1)).mean() for counts in (self.ours, self.theirs))
        return float(ours - theirs)

    def draws(self, resamples: int, seed: int, *, videos: bool, seeds: bool) -> NDArray[np.float64] | None:
        """(resamples,) differences, with other videos, other seeds, or both; None where there is one of each."""
        sizes = [self.videos if videos else 1, *(size if seeds else 1 for size in self.groups)]
        drawn = [place for place, size in enumerate(sizes) if size > 1]
        if not drawn:
            return None

        def statistic(*samples: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
            picked = dict(zip(drawn, (np.atleast_2d(np.moveaxis(s, axis, -1)) for s in samples), strict=True))
            found = self._of(picked, len(next(iter(picked.values()))))
            return found if samples[0].ndim > 1 else found[0]

        result = bootstrap(
            [np.arange(sizes[place]) for place in drawn],
            statistic,
            n_resamples=resamples,
            batch=250,  # of (draws, seeds, k, k) doubles
            vectorized=True,
            method="percentile",
            random_state=np.random.default_rng(seed),
        )
        distribution: NDArray[np.float64] = result.bootstrap_distribution
        return distribution

    def _of(self, picked: dict[int, NDArray[np.int64]], draws: int) -> NDArray[np.float64]:
        """(draws,) differences. picked: (draws, n) videos at 0, seeds of the groups after it; what is missing: all."""
        videos = picked.get(0, np.tile(np.arange(self.videos), (draws, 1)))
        weights = np.stack([np.bincount(row, minlength=self.videos) for row in videos]).astype(np.float64)
        every = (np.tile(np.arange(size), (draws, 1)) for size in self.groups)
        seeds = [picked.get(place, rows) for place, rows in enumerate(every, start=1)]
        found: NDArray[np.float64] = _mean(self.ours, weights, seeds[0]) - _mean(self.theirs, weights, seeds[-1])
        return found


def _mean(counts: NDArray[np.float64], weights: NDArray[np.float64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    """(draws,): mean over the drawn seeds of the mIoU of the drawn videos. counts (s, videos, k, k)."""
    values = miou(np.einsum("dv,svij->dsij", weights, counts, optimize=True))
    result: NDArray[np.float64] = np.take_along_axis(values, seeds, 1).mean(1)
    return result


def difference(
    first: Sequence[Counts],
    second: Sequence[Counts],
    *,
    paired_seeds: bool,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Mean mIoU over seeds of `first` minus that of `second`; see Pair."""
    return Pair(first, second, paired_seeds=paired_seeds).difference(resamples, seed)


class Needed(NamedTuple):
    """How many videos (with these seeds), or seeds (with these videos), would tell a difference of this size.

    None: no number of them alone, or it cannot be said from what there is.
    """

    videos: int | None
    seeds: int | None


def needed(pair: Pair, comparisons: int = 1, resamples: int = 1000) -> Needed:
    """Normal approximation: the interval is (z_level + z_power) standard errors away from 0 in 80 % of repetitions.

    The variance has a part of the videos and a part of the seeds; each falls with their number.
    """
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + together(comparisons) / 2) + normal.inv_cdf(POWER)
    allowed = (pair.difference(2).value / z) ** 2
    seeds = min(pair.groups)
    parts = []
    for count, which in ((pair.videos, {"videos": True, "seeds": False}), (seeds, {"videos": False, "seeds": True})):
        draws = pair.draws(resamples, 0, **which)
        # A bootstrap of n draws from n values is too narrow by the factor (n - 1) / n.
        parts.append(None if draws is None or count < 2 else float(draws.var()) * count / (count - 1))
    of_videos, of_seeds = parts

    def number(count: int, part: float | None, other: float | None) -> int | None:
        left = allowed - (other or 0.0)
        return None if part is None or left <= 0 else max(2, ceil(count * part / left))

    return Needed(number(pair.videos, of_videos, of_seeds), number(seeds, of_seeds, of_videos))
