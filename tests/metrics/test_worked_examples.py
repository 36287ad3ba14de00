"""Numbers worked out by hand from the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from judged import ids, moving

from ifrkit.core.plugins import load
from ifrkit.core.records import PairFlow
from ifrkit.metrics._confusion import confusion, iou
from ifrkit.metrics._pairs import warp_nearest
from ifrkit.metrics._vc import VideoConsistency
from ifrkit.metrics.base import ClipResult
from ifrkit.metrics.tc_etc import warp_truncated

PREDICTIONS = [ids("0011", "0221"), ids("0001", "0021"), ids("0001", "0011")]
"""Three frames; the scene moves by (1, 0) from the first to the second, then stands still."""


def tc(name: str, classes: int, *predictions: Any, flows: tuple[tuple[float, float], ...]) -> dict[str, Any]:
    metric = load("metrics", name)(classes)
    metric.update(moving(predictions, *flows))
    result: dict[str, Any] = metric.compute()
    return result


def test_second_map_is_pulled_back_with_its_border_repeated() -> None:
    flow = moving(PREDICTIONS, (1, 0)).flows[0].flow_2hw
    expected = ids("0011", "0211")
    assert np.array_equal(warp_nearest(PREDICTIONS[1], flow), expected)
    assert np.array_equal(warp_truncated(PREDICTIONS[1], flow), expected)


@pytest.mark.parametrize(
    ("name", "classes", "value"),
    [
        ("tc", 3, (8 / 8 + 5 / 7 + 1 / 3) / 3),
        ("tc", 4, 0.682540),
        ("tc-etc", 3, 0.682540),
        ("tc-etc", 4, 0.511905),
        ("tc-pair", 3, (0.75 + 0.555556) / 2),
        ("tc-pair", 4, 0.652778),
    ],
)
def test_tc(name: str, classes: int, value: float) -> None:
    result = tc(name, classes, *PREDICTIONS, flows=((1, 0), (0, 0)))
    assert result[load("metrics", name).headline] == pytest.approx(value, abs=1e-6)


def test_tc_of_single_pairs() -> None:
    first = tc("tc", 3, *PREDICTIONS[:2], flows=((1, 0),))
    assert first["iou"] == pytest.approx([1, 0.75, 0.5])
    assert first["agreement"] == pytest.approx(7 / 8)
    second = tc("tc", 3, *PREDICTIONS[1:], flows=((0, 0),))
    assert second["iou"] == pytest.approx([1, 2 / 3, 0])
    assert second["tc"] == pytest.approx(0.555556, abs=1e-6)


def test_zeros_outside_would_score_less() -> None:
    """The other padding, class 0 from outside: the border must not be made up."""
    matrix = confusion(PREDICTIONS[0], ids("0010", "0210"), 3)
    assert iou(matrix).mean() == pytest.approx(0.45)


def test_tc_judges_consistent_pixels_alone() -> None:
    clip = moving(PREDICTIONS[:2], (1, 0))
    inside = np.ones((2, 4), bool)
    inside[:, -1] = False
    masked = ClipResult("masked", clip.predictions, flows={0: PairFlow(clip.flows[0].flow_2hw, inside)})
    for name, judged in (("tc", 0.75), ("tc-pair", None)):
        metric = load("metrics", name)(3)
        metric.update(masked)
        result = metric.compute()
        assert result[metric.headline] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
        assert result.get("judged_share") == judged
    metric = load("metrics", "tc-etc")(3)
    metric.update(masked)
    assert metric.compute()["tc_etc"] == pytest.approx(0.75), "the published rule has no mask"


def test_rounding_invents_a_class_only_under_the_published_arithmetic() -> None:
    labels, half = np.array([[3, 10]], np.uint8), np.array([[[0.5, 0.5]], [[0, 0]]], np.float32)
    assert warp_truncated(labels, half)[0, 0] == 6
    assert warp_nearest(labels, half)[0, 0] == 3, "half to even"
    steps = np.zeros((2, 1, 64), np.float32)
    steps[0] = np.linspace(0, 1, 64) - np.arange(64)
    assert set(warp_truncated(labels.repeat([1, 63], 1), steps).ravel().tolist()) == set(range(3, 11))


@pytest.mark.parametrize("value", [0, 3, 7, 13])
def test_truncation_loses_some_pixels_of_a_constant_map(value: int) -> None:
    """0.9 to 2.4 percent at 1024x2048, none for class 0; nearest sampling loses none."""
    size = (256, 512)
    flow = np.random.default_rng(0).normal(0, 3, (2, *size)).astype(np.float32)
    constant = np.full(size, value, np.uint8)
    wrong = (warp_truncated(constant, flow) != value).mean()
    assert wrong == 0 if value == 0 else 0.005 < wrong < 0.06
    assert (warp_nearest(constant, flow) == value).all()


class OfTwo(VideoConsistency):
    """Video consistency over windows of 2 frames."""

    window, headline, title = 2, "mvc2", "mVC2"


def test_mvc() -> None:
    labels = dict(enumerate(map(ids, ("1122", "1121", "1221", "1221"))))
    predictions = dict(enumerate(map(ids, ("1122", "1222", "3222", "3221"))))
    metric = OfTwo(4)
    metric.update(ClipResult("clip", predictions, labels))
    result = metric.compute()
    assert result["mvc2"] == pytest.approx(0.666667, abs=1e-6), "a prediction need not be right, only constant"
    assert result["every_window"] == pytest.approx(0.694444, abs=1e-6)
    assert result["windows"] == 2


def test_mvc_official_rule_skips_a_clip_of_one_window() -> None:
    metric = OfTwo(2)
    metric.update(ClipResult("clip", {0: ids("01"), 1: ids("11")}, {0: ids("01"), 1: ids("01")}))
    assert metric.compute() == {"mvc2": None, "every_window": 0.5, "windows": 0}


def test_mvc_leaves_out_windows_with_a_missing_label_and_with_no_constant_pixel() -> None:
    frames = {0: ids("01"), 1: ids("01"), 3: ids("01"), 4: ids("10"), 5: ids("11"), 6: ids("11")}
    metric = OfTwo(2)
    metric.update(ClipResult("clip", {i: ids("00") if i == 5 else ids("01") for i in range(7)}, frames))
    # 0-1: 2/2. 1-3: a label is missing. 3-4: nothing stands still. 4-5: pixel 0 stands still and is constant, 1/1.
    # 5-6: of two constant pixels one changes; the last window, which the official rule drops.
    assert metric.compute() == {"mvc2": 1.0, "every_window": pytest.approx((1 + 1 + 1 / 2) / 3), "windows": 2}


def test_mvc_void_counts_as_a_label_like_any_other() -> None:
    labels, predictions = {0: ids(".0"), 1: ids(".0"), 2: ids(".0")}, {0: ids("00"), 1: ids("10"), 2: ids("10")}
    metric = OfTwo(2)
    metric.update(ClipResult("clip", predictions, labels))
    assert metric.compute()["mvc2"] == 0.5


def test_miou() -> None:
    """Class 0: 2 of 4; class 1: 2 of 3; 2 is in the prediction alone; 3 is only where nothing counts."""
    metric = load("metrics", "miou")(4)
    metric.update(ClipResult("clip", {0: ids("0001"), 1: ids("2123")}, {0: ids("0011"), 1: ids("01..")}))
    result = metric.compute()
    assert result["iou"] == [pytest.approx(2 / 4), pytest.approx(2 / 3), 0.0, None]
    assert result["miou"] == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)
    assert result["pixel_accuracy"] == pytest.approx(4 / 6)
    assert result["frequency_weighted_iou"] == pytest.approx((2 / 4 + 2 / 3) / 2)
    assert result["confusion"] == [[2, 0, 1, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_prediction_outside_the_classes_is_refused_rather_than_ignored() -> None:
    metric = load("metrics", "miou")(2)
    metric.update(ClipResult("clip", {0: ids("2")}, {0: ids(".")}))
    assert metric.compute()["miou"] is None, "under ignored pixels nothing matters"
    with pytest.raises(ValueError, match="class ids of 2 or more"):
        metric.update(ClipResult("clip", {0: ids("02")}, {0: ids("01")}))
