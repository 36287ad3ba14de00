"""Paired differences of any metric: every draw by hand, and the same as the fast way of mIoU."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
from judged import random_clip

from ifrkit.core.plugins import load
from ifrkit.evaluation.bootstrap import Confusions, Pair
from ifrkit.evaluation.records import Records
from ifrkit.evaluation.scores import Headlines
from ifrkit.metrics.base import Metric

CLASSES = 4
VIDEOS = ("a", "b", "c")


@cache
def judged(metric: str, seed: int) -> Metric:
    made: Metric = load("metrics", metric)(CLASSES)
    made.update(random_clip(seed))
    return made


def records(metric: str, first: int) -> Records:
    """Three videos of a clip each, numbered from `first`."""
    rows = [judged(metric, first + number).counts for number in range(len(VIDEOS))]
    counts = {f"model/{metric}/{key}": np.stack([found[key] for found in rows]) for key in rows[0]}
    return Records(list(VIDEOS), list(VIDEOS), [], CLASSES, *[np.zeros(0)] * 3, counts)


@pytest.mark.parametrize("metric", ["aurc", "boundary-iou", "ece", "image-miou", "tc", "worst-class"])
def test_every_draw_of_three_videos_and_two_seeds_by_hand(metric: str) -> None:
    """All 27 x 4 draws are equally likely; pairs get the same videos and seeds."""
    ours, theirs = (10, 20), (30, 40)

    def value(first: int, videos: tuple[int, ...]) -> float:
        whole: Metric = load("metrics", metric)(CLASSES)
        for video in videos:
            whole.merge(judged(metric, first + video).counts)
        return float(whole.compute()[whole.headline])

    def drawn(videos: tuple[int, ...], seeds: tuple[int, ...]) -> float:
        means = [np.mean([value(row[seed], videos) for seed in seeds]) for row in (ours, theirs)]
        return float(means[0] - means[1])

    rows = [Headlines([records(metric, first) for first in row], "model", metric) for row in (ours, theirs)]
    found = Pair(*rows, paired_seeds=True).difference(2000)
    every = sorted(drawn(v, s) for v in product(range(3), repeat=3) for s in product(range(2), repeat=2))
    assert found.value == pytest.approx(drawn((0, 1, 2), (0, 1)), abs=1e-9)
    assert found.interval is not None
    assert every[1] - 1e-9 <= found.interval[0] <= every[4] + 1e-9  # 2.5 % of 108 draws lies in the third
    assert every[-5] - 1e-9 <= found.interval[1] <= every[-2] + 1e-9


def test_miou_draw_by_draw_is_miou_at_once() -> None:
    found = [[records("miou", first) for first in row] for row in ((10, 20), (30, 40))]
    slow = Pair(*(Headlines(row, "model", "miou") for row in found), paired_seeds=True)
    fast = Pair(
        *(Confusions([one.by_video("model", "miou")["confusion"] for one in row]) for row in found), paired_seeds=True
    )
    a, b = slow.difference(500), fast.difference(500)
    assert a.value == pytest.approx(b.value, abs=1e-12)
    assert a.interval == pytest.approx(b.interval, abs=1e-12)
    assert a.videos == b.videos == 3


def test_where_most_draws_have_nothing_there_is_no_interval() -> None:
    """One video of three has pixels that count, for one of the rows: 8 of 27 draws have none of it."""
    whole = records("ece", 10)
    counts = {key: value * np.array([1, 0, 0])[:, None, None] for key, value in whole.counts.items()}
    one = Records(whole.clips, whole.videos, [], CLASSES, *[np.zeros(0)] * 3, counts)
    some = Pair(Headlines([one], "model", "ece"), Headlines([whole], "model", "ece"), paired_seeds=True)
    draws = some.draws(900, 0, videos=True, seeds=True)
    assert draws is not None
    assert 0.6 < len(draws) / 900 < 0.8  # 19 of 27
    nothing = {key: value * 0 for key, value in whole.counts.items()}
    none = Records(whole.clips, whole.videos, [], CLASSES, *[np.zeros(0)] * 3, nothing)
    pair = Pair(Headlines([none], "model", "ece"), Headlines([whole], "model", "ece"), paired_seeds=True)
    assert pair.draws(900, 0, videos=True, seeds=True) is None
