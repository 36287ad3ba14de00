"""Intervals of one model's metrics: over videos, not clips, and of any metric that counts."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from judged import random_clip

from ifrkit.core.plugins import load, names
from ifrkit.evaluation.intervals import interval
from ifrkit.evaluation.records import Records
from ifrkit.evaluation.tables import evidence, measured
from ifrkit.evaluation.verdicts import against, verdicts
from ifrkit.metrics.base import ClipResult, Metric

CLASSES = 4


def of(metric: str, clips: list[ClipResult]) -> Metric:
    made: Metric = load("metrics", metric)(CLASSES)
    for clip in clips:
        made.update(clip)
    return made


def records(metric: str, videos: dict[str, list[int]]) -> Records:
    """Videos of clips made from numbers, as `eval` records them."""
    rows = [(video, of(metric, [random_clip(seed)]).counts) for video, seeds in videos.items() for seed in seeds]
    counts = {f"model/{metric}/{key}": np.stack([found[key] for _, found in rows]) for key in rows[0][1]}
    clips = [f"{video}-{number}" for number, (video, _) in enumerate(rows)]
    return Records(clips, [video for video, _ in rows], [], CLASSES, *[np.zeros(0)] * 3, counts)


@pytest.mark.parametrize("metric", names("metrics"))
def test_three_videos_have_27_draws(metric: str) -> None:
    """The ends of the interval are quantiles of the 27 equally likely draws, each judged clip by clip."""
    videos = {"a": [1, 2], "b": [3], "c": [4, 5]}
    found = interval(records(metric, videos), "model", metric)
    every = []
    for drawn in product(videos, repeat=3):
        judged = of(metric, [random_clip(seed) for video in drawn for seed in videos[video]])
        every.append(judged.compute()[judged.headline])
    every.sort()
    assert found is not None
    assert found[0] == pytest.approx(every[0], abs=1e-9)  # 1/27 is more than 2.5 %
    assert found[1] == pytest.approx(every[-1], abs=1e-9)
    assert every[0] < every[-1]


def test_clips_of_one_video_have_no_interval() -> None:
    assert interval(records("miou", {"a": [1, 2, 3]}), "model", "miou") is None


def test_a_video_where_nothing_counts_is_none() -> None:
    whole = records("miou", {"a": [1], "b": [2], "c": [3]})
    counts = {key: value * np.array([1, 1, 0])[:, None, None] for key, value in whole.counts.items()}
    two = records("miou", {"a": [1], "b": [2]})
    padded = Records(whole.clips, whole.videos, [], CLASSES, *[np.zeros(0)] * 3, counts)
    assert interval(padded, "model", "miou") == interval(two, "model", "miou")


def test_each_clip_and_each_video_by_itself() -> None:
    found = records("image-miou", {"a": [1, 2], "b": [3]})
    alone = [of("image-miou", [random_clip(seed)]).compute()["image_miou"] for seed in (1, 2, 3)]
    both = of("image-miou", [random_clip(1), random_clip(2)]).compute()["image_miou"]
    assert found.each("image-miou", found.of("model", "image-miou")) == pytest.approx(alone)
    assert found.each("image-miou", found.by_video("model", "image-miou")) == pytest.approx([both, alone[2]])


def test_what_a_table_says() -> None:
    assert measured(0.4531, (0.412, 0.489)) == "45.31 [41.2, 48.9]"
    assert measured(0.4531) == "45.31"
    assert measured(None) == "-"
    assert evidence(1).startswith("one video")
    assert "3 independent videos; 3 are few" in evidence(3)
    assert evidence(40) == "95 % intervals over 40 independent videos"


def row(told: bool | None, videos: int = 12, **more: Any) -> dict[str, Any]:
    difference = {"value": 0.012, "low": -0.003, "high": 0.027, "videos": videos, "told": told}
    return {"model": "ifr", "system": "update", "seeds": [0, 1], "differences": {"miou": difference}} | more


def test_what_a_comparison_says() -> None:
    assert verdicts([row(False), row(True)]) == []
    assert verdicts([row(False), row(False)]) == [
        "ifr: update: cannot be told from chance: mIoU +1.20 (12 videos, 2 seeds)"
    ]
    many = verdicts([row(False, 3), row(True, 3), row(None, 3)])
    assert many[0].startswith(
        "2 comparisons with the first row: to be called more than chance, each has to hold at 97.5 %"
    )
    assert many[1] == "ifr: update: too little counts for an interval of mIoU"
    assert many[2] == "3 independent videos are few: the intervals are rather too narrow"
    one = verdicts([row(None, 1, seeds=[0]), row(None, 1, seeds=[0])])
    assert one[0] == "ifr: update: one video and one seed cannot tell a difference from chance"
    asked = verdicts([row(True), row(True, needed={"miou": {"videos": 40, "seeds": None}})])
    assert asked == [
        "ifr: update: 40 videos with 2 seeds would tell a difference of +1.20 in mIoU in 80 % of repetitions"
    ]


def test_each_metric_of_each_row_is_a_comparison() -> None:
    first, second = row(True), row(True)
    second["differences"] = {"miou": second["differences"]["miou"], "ece": second["differences"]["miou"]}
    first["differences"] |= {"ece": second["differences"]["ece"] | {"told": False}}
    assert verdicts([second, first]) == [
        "2 comparisons with the first row (1 row, 2 metrics): to be called more than chance, each has to hold at "
        "97.5 % (Bonferroni)",
        "ifr: update: cannot be told from chance: ECE (0 best) +1.20 (12 videos, 2 seeds)",
    ]
    _, columns, cells = against([second, first])
    assert columns[1:] == ["metric", "difference [95 %]", "more than chance"]
    assert cells == [
        ["ifr: update", "mIoU", "+1.20 [-0.30, +2.70]", "yes"],
        ["ifr: update", "ECE (0 best)", "+1.20 [-0.30, +2.70]", "no"],
    ]
