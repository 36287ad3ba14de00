"""Intervals of mIoU differences: exact where they must be, and as wide as they claim."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from ifrkit.evaluation.bootstrap import Confusions, Counts, Difference, Pair, difference, miou, needed, together
from ifrkit.metrics._confusion import iou, mean_present


def counts(rng: np.random.Generator, seeds: int, clips: int, right: float = 0.7) -> list[NDArray[np.int64]]:
    """Confusions of two classes, 200 pixels a clip, `right` of them right on average."""
    share = np.clip(rng.normal(right, 0.08, (seeds, clips)), 0, 1)
    hit = rng.binomial(100, share[..., None], (seeds, clips, 2))
    return list(
        np.stack([np.stack([hit[..., 0], 100 - hit[..., 0]], -1), np.stack([100 - hit[..., 1], hit[..., 1]], -1)], -2)
    )


def paired(first: list[Counts], second: list[Counts]) -> Pair:
    return Pair(Confusions(first), Confusions(second), paired_seeds=True)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_a_model_against_itself_differs_by_exactly_nothing(seed: int, seeds: int, clips: int) -> None:
    ours = counts(np.random.default_rng(seed), seeds, clips)
    found = difference(ours, ours, paired_seeds=True, resamples=50)
    assert (found.value, found.interval, found.told()) == (0.0, (0.0, 0.0), False)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_swapped_rows_mirror_the_interval(seed: int, seeds: int, clips: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = counts(rng, seeds, clips), counts(rng, seeds, clips, 0.6)
    there, back = (difference(a, b, paired_seeds=True, resamples=80) for a, b in ((ours, theirs), (theirs, ours)))
    assert there.interval is not None
    assert back.interval is not None
    assert back.value == -there.value
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]), abs=1e-12)
    assert there.interval[0] <= there.interval[1]


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """120 experiments of 40 clips; the truth is the difference over very many clips of the same kind."""
    rng = np.random.default_rng(7)
    pools = counts(rng, 1, 20000, 0.75)[0], counts(rng, 1, 20000, 0.70)[0]
    truth = float(miou(pools[0].sum(0)) - miou(pools[1].sum(0)))
    inside = 0
    for experiment in range(120):
        rows = rng.integers(0, 20000, 40)
        found = difference([pools[0][rows]], [pools[1][rows]], paired_seeds=True, resamples=300, seed=experiment)
        assert found.interval is not None
        inside += found.interval[0] <= truth <= found.interval[1]
    assert 0.88 <= inside / 120 <= 0.99


def test_seeds_widen_the_interval_and_pairing_them_narrows_it() -> None:
    rng = np.random.default_rng(0)
    clips = counts(rng, 1, 30)[0]
    shifts = [0, 6, 12]  # seeds that differ far more than clips do
    ours = [clips + np.array([[s, -s], [-s, s]]) * (clips[:, :1, 1:] > s) for s in shifts]
    assert len({float(miou(c.sum(0))) for c in ours}) == 3
    alone, paired, free = (
        difference(ours, ours[:1], paired_seeds=False),
        difference(ours, ours, paired_seeds=True),
        difference(ours, ours, paired_seeds=False),
    )
    widths = [found.interval[1] - found.interval[0] for found in (alone, paired, free) if found.interval]
    assert widths[1] == 0
    assert widths[2] > widths[0] > 0
    assert difference(ours[:1], ours[1:2], paired_seeds=True).interval != (0.0, 0.0)


def _miou(matrix: NDArray[np.int64]) -> float:
    """By hand: mean over classes that occur of hits over union."""
    shares = []
    for k in range(len(matrix)):
        union = matrix[k, :].sum() + matrix[:, k].sum() - matrix[k, k]
        shares += [matrix[k, k] / union] if union else []
    return float(np.mean(shares))


def test_every_draw_of_three_clips_and_two_seeds_by_hand() -> None:
    """All 27 x 4 draws are equally likely; the interval's ends are their 2.5 and 97.5 % quantiles."""
    rng = np.random.default_rng(11)
    ours, theirs = counts(rng, 2, 3), counts(rng, 2, 3, 0.6)

    def drawn(clips: tuple[int, ...], seeds: tuple[int, ...]) -> float:
        rows = [[_miou(sum(row[s][c] for c in clips)) for s in seeds] for row in (ours, theirs)]
        return float(np.mean(rows[0]) - np.mean(rows[1]))

    found = difference(ours, theirs, paired_seeds=True, resamples=20000)
    assert found.value == pytest.approx(drawn((0, 1, 2), (0, 1)), abs=1e-12)
    every = sorted(drawn(c, s) for c in product(range(3), repeat=3) for s in product(range(2), repeat=2))
    assert found.interval == pytest.approx((every[2], every[-3]), abs=1e-12)  # 2.5 % of 108 draws lies in the third


def test_scipy_with_the_statistic_by_hand_gives_the_same_interval() -> None:
    rng = np.random.default_rng(12)
    (ours,), (theirs,) = counts(rng, 1, 7), counts(rng, 1, 7, 0.6)

    def statistic(clips: NDArray[np.int64]) -> float:
        return _miou(sum(ours[c] for c in clips)) - _miou(sum(theirs[c] for c in clips))

    low, high = stats.bootstrap(
        [np.arange(7)],
        statistic,
        n_resamples=400,
        batch=250,
        vectorized=False,
        method="percentile",
        random_state=np.random.default_rng(5),
    ).confidence_interval
    found = difference([ours], [theirs], paired_seeds=True, resamples=400, seed=5)
    assert found.interval == pytest.approx((low, high), abs=1e-12)


def test_one_video_and_one_seed_have_no_interval() -> None:
    ours, theirs = counts(np.random.default_rng(1), 1, 1), counts(np.random.default_rng(2), 1, 1)
    found = difference(ours, theirs, paired_seeds=True)
    assert found.interval is None
    assert not found.told()
    assert found.value != 0
    assert needed(paired(ours, theirs)) == (None, None)


def test_of_one_video_the_seeds_are_drawn() -> None:
    """Three paired seeds: the ends are the least and the largest difference of a seed."""
    ours, theirs = counts(np.random.default_rng(1), 3, 1), counts(np.random.default_rng(2), 3, 1)
    found = difference(ours, theirs, paired_seeds=True)
    each = [float(miou(a.sum(0)) - miou(b.sum(0))) for a, b in zip(ours, theirs, strict=True)]
    assert found.value == pytest.approx(np.mean(each))
    assert found.interval == pytest.approx((min(each), max(each)))  # 1 of 27 draws is all of one seed: 3.7 %


def test_a_video_without_labels_is_not_one() -> None:
    (ours,), (theirs,) = counts(np.random.default_rng(1), 1, 5), counts(np.random.default_rng(2), 1, 5, 0.6)
    nothing = np.zeros((2, 2, 2), np.int64)
    padded = [np.concatenate([row, nothing]) for row in (ours, theirs)]
    alone, beside = (difference([a], [b], paired_seeds=True) for a, b in ((ours, theirs), padded))
    assert beside.videos == alone.videos == 5
    assert beside.interval == alone.interval


def test_many_comparisons_need_a_higher_level() -> None:
    assert together(1) == pytest.approx(0.95)
    assert together(5) == pytest.approx(0.99)
    draws = np.concatenate([np.full(9, -0.01), np.full(991, 0.02)])  # 0.9 % below 0
    found = Difference(0.02, 10, (1, 1), draws)
    assert found.told()
    assert not found.told(5)


def test_how_many_videos_would_tell() -> None:
    """With as many as it says, the difference is told in about 80 % of experiments; with a quarter of them, seldom."""
    rng = np.random.default_rng(3)
    pools = counts(rng, 1, 20000, 0.72)[0], counts(rng, 1, 20000, 0.70)[0]

    def pair(count: int) -> Pair:
        rows = rng.integers(0, 20000, count)
        return paired([pools[0][rows]], [pools[1][rows]])

    videos, seeds = needed(paired([pools[0]], [pools[1]]), resamples=200)
    assert seeds is None
    assert videos is not None
    told = {
        count: np.mean([pair(count).difference(300, seed).told() for seed in range(60)])
        for count in (videos, videos // 4)
    }
    assert 0.65 <= told[videos] <= 0.93
    assert told[videos // 4] < 0.5


def test_seeds_that_differ_are_not_mended_by_videos() -> None:
    """Every video sees the same gain of a seed: more videos change nothing, more seeds do."""
    base = np.tile(np.array([[[70, 30], [30, 70]]]), (8, 1, 1))
    ours = [base + np.array([[s, -s], [-s, s]]) for s in (-2, 0, 6)]
    found = needed(paired(ours, [base] * 3))
    assert found.videos is None
    assert found.seeds is not None
    assert found.seeds > 3


def test_miou_is_the_metric_s() -> None:
    matrices = np.random.default_rng(3).integers(0, 3, (50, 4, 4)) * np.random.default_rng(4).integers(0, 2, (50, 1, 4))
    matrices[0] = 0
    expected = [mean_present(iou(matrix)) or 0.0 for matrix in matrices]
    assert miou(matrices).tolist() == pytest.approx(expected, abs=1e-15)
