"""Paired bootstrap of differences of a metric, over videos and over seeds.

Frames of one video are alike, so the videos are what is independent. A metric is not a mean over videos: whole videos
are drawn with replacement and their counts summed. Both rows of a comparison get the same videos; and the same seeds,
where they were trained with the same ones (Efron and Tibshirani 1993, chapter 13: percentile intervals).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import NormalDist
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

RESAMPLES = 2000
LEVEL = 0.95
POWER = 0.8
"""Chance to tell a difference that is there."""

Counts = NDArray[np.int64]
"""(videos, k, k): the confusion matrix of every video."""


class Scores(Protocol):
    """One row of a comparison: what a metric says of every seed, on any draw of the videos.

    there: (videos,), which of them say anything; the others are none.
    """

    seeds: int
    there: NDArray[np.bool_]

    def __call__(self, weights_dv: NDArray[np.float64]) -> NDArray[np.float64]:
        """(draws, seeds), NaN where nothing counts. weights_dv: how often each draw has each video."""
        ...


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


class Confusions:
    """mIoU out of the confusion matrices of each seed: all draws at once."""

    def __init__(self, counts: Sequence[Counts]) -> None:
        self._counts_svkk = np.stack(counts).astype(np.float64)
        self.seeds = len(self._counts_svkk)
        self.there: NDArray[np.bool_] = np.asarray(self._counts_svkk.any((0, 2, 3)))

    def __call__(self, weights_dv: NDArray[np.float64]) -> NDArray[np.float64]:
        return miou(np.einsum("dv,svij->dsij", weights_dv, self._counts_svkk, optimize=True))


class Pair:
    """Two rows of a comparison, of the same videos.

    paired_seeds: the n-th of both have the same seed. A row with one seed says nothing about seeds: only videos are
    drawn then. Of one video, only seeds.
    """

    def __init__(self, ours: Scores, theirs: Scores, *, paired_seeds: bool) -> None:
        if paired_seeds and ours.seeds != theirs.seeds:
            raise ValueError("paired seeds need as many in both rows")
        self.ours, self.theirs = ours, theirs
        self._there = ours.there | theirs.there
        self.videos = int(self._there.sum())
        self.groups = (ours.seeds,) if paired_seeds else (ours.seeds, theirs.seeds)

    def difference(self, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
        """See Difference. seed: of the draws; the same again gives the same interval."""
        draws = self.draws(resamples, seed, videos=True, seeds=True)
        return Difference(self._value(), self.videos, (self.ours.seeds, self.theirs.seeds), draws)

    def _value(self) -> float:
        every = np.ones((1, len(self._there)))
        return float(self.ours(every).mean() - self.theirs(every).mean())

    def draws(self, resamples: int, seed: int, *, videos: bool, seeds: bool) -> NDArray[np.float64] | None:
        """(n,) differences, with other videos, other seeds, or both, but of draws in which nothing counts.

        None where there is one of each, and where nothing counts in most draws.
        """
        sizes = [self.videos if videos else 1, *(size if seeds else 1 for size in self.groups)]
        drawn = [place for place, size in enumerate(sizes) if size > 1]
        if not drawn:
            return None

        def statistic(*samples: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
            picked = dict(zip(drawn, (np.atleast_2d(np.moveaxis(s, axis, -1)) for s in samples), strict=True))
            found = self._of(picked, len(next(iter(picked.values()))))
            return found if samples[0].ndim > 1 else found[0]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateDataWarning)  # of its own interval, where draws are NaN
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
        known = distribution[~np.isnan(distribution)]
        return known if 2 * len(known) >= len(distribution) else None

    def _of(self, picked: dict[int, NDArray[np.int64]], draws: int) -> NDArray[np.float64]:
        """(draws,) differences. picked: (draws, n) videos at 0, seeds of the groups after it; what is missing: all."""
        videos = picked.get(0, np.tile(np.arange(self.videos), (draws, 1)))
        weights_dv = np.zeros((draws, len(self._there)))
        weights_dv[:, self._there] = np.stack([np.bincount(row, minlength=self.videos) for row in videos])
        every = (np.tile(np.arange(size), (draws, 1)) for size in self.groups)
        seeds = [picked.get(place, rows) for place, rows in enumerate(every, start=1)]
        means = [_mean(scores(weights_dv), rows) for scores, rows in ((self.ours, seeds[0]), (self.theirs, seeds[-1]))]
        return means[0] - means[1]


def _mean(values_ds: NDArray[np.float64], seeds_dn: NDArray[np.int64]) -> NDArray[np.float64]:
    """(draws,): mean over the drawn seeds."""
    result: NDArray[np.float64] = np.take_along_axis(values_ds, seeds_dn, 1).mean(1)
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
    return Pair(Confusions(first), Confusions(second), paired_seeds=paired_seeds).difference(resamples, seed)


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
