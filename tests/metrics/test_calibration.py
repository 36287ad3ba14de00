"""Calibration error and risk-coverage area: by hand, against torchmetrics, and against sorting every pixel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import ids
from numpy.typing import NDArray

from ifrkit.core.plugins import load
from ifrkit.metrics.aurc import bin_of
from ifrkit.metrics.base import ClipResult

Ids = NDArray[np.uint8]
CLASSES = 3


def judged(name: str, label: Ids, prediction: Ids, sure: Any, classes: int = CLASSES) -> dict[str, Any]:
    metric = load("metrics", name)(classes)
    metric.update(ClipResult("clip", {0: prediction}, {0: label}, confidences={0: np.asarray(sure, np.float32)}))
    result: dict[str, Any] = metric.compute()
    return result


def test_ece_by_hand() -> None:
    """Bins of 1/15: 0.62 (one of two right) and 0.99 (one of two right); the last pixel is ignored."""
    result = judged("ece", ids("00112"), ids("01122"), [[0.62, 0.62, 0.99, 0.99, 0.8]], 3)
    assert result["ece"] == pytest.approx((2 * abs(1 / 2 - 0.62) + 2 * abs(1 / 2 - 0.99) + abs(1 - 0.8)) / 5)
    assert result["accuracy"] == pytest.approx(3 / 5)
    assert result["confidence"] == pytest.approx((2 * 0.62 + 2 * 0.99 + 0.8) / 5)
    # Predicted 0: one pixel, right. 1: 0.62 wrong, 0.99 right. 2: 0.99 wrong, 0.8 right.
    assert result["per_class"] == pytest.approx([0.38, (0.62 + 0.01) / 2, (0.99 + 0.2) / 2])
    assert result["curve"] == [
        {"pixels": 2, "confidence": pytest.approx(0.62), "accuracy": 0.5},
        {"pixels": 1, "confidence": pytest.approx(0.8), "accuracy": 1.0},
        {"pixels": 2, "confidence": pytest.approx(0.99), "accuracy": 0.5},
    ]
    assert judged("ece", ids("0."), ids("01"), [[0.75, 0.9]], 3)["ece"] == pytest.approx(0.25), "255 counts nowhere"


@st.composite
def scene(draw: st.DrawFn) -> tuple[Ids, NDArray[np.float32]]:
    """A label with ignored pixels, and probabilities (k, n) that are on no border of two bins."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count = draw(st.integers(2, 60))
    label = np.where(rng.random(count) < 0.2, 255, rng.integers(0, CLASSES, count)).astype(np.uint8)
    logits = rng.normal(0, draw(st.sampled_from([0.1, 1.0, 4.0])), (CLASSES, count))
    return label, (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(case=scene())
def test_ece_as_torchmetrics_has_it(case: tuple[Ids, NDArray[np.float32]]) -> None:
    label, probabilities = case
    prediction, sure = probabilities.argmax(0).astype(np.uint8), probabilities.max(0)
    result = judged("ece", label[None], prediction[None], sure[None])
    if (label == 255).all():
        assert result["ece"] is None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = pytest.importorskip("torchmetrics.functional.classification").multiclass_calibration_error

        def expected(of: NDArray[np.bool_]) -> float:
            kept = torch.from_numpy(probabilities[:, of].T.copy()), torch.from_numpy(label[of]).long()
            return float(oracle(*kept, CLASSES, n_bins=15, norm="l1", ignore_index=255))

        assert result["ece"] == pytest.approx(expected(label != 255), abs=1e-5)
        for c, found in enumerate(result["per_class"]):
            of = (label != 255) & (prediction == c)
            assert (found is None) == (not of.any())
            if found is not None:
                assert found == pytest.approx(expected(of), abs=1e-5)


def area(order: Sequence[bool]) -> float:
    """Mean over k of the share of wrong ones among the first k. order: whether each is wrong, most confident first."""
    return float(np.mean(np.cumsum(order) / np.arange(1, len(order) + 1)))


def test_aurc_by_hand() -> None:
    """Kept in the order right, wrong, right, wrong: risks 0, 1/2, 1/3, 2/4."""
    result = judged("aurc", ids("0000"), ids("0101"), [[0.9, 0.8, 0.7, 0.6]])
    assert result["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert result["excess"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4 - (0 + 0 + 1 / 3 + 2 / 4) / 4)
    curve = {round(point["coverage"], 2): point for point in result["curve"]}
    assert curve[0.25]["risk"] == pytest.approx(0)
    assert curve[0.5]["risk"] == pytest.approx(1 / 2)
    assert curve[1.0]["risk"] == pytest.approx(1 / 2)
    assert curve[0.5]["threshold"] == pytest.approx(0.8, abs=0.01)
    assert curve[0.5]["threshold"] <= 0.8
    assert judged("aurc", ids("00"), ids("00"), [[0.9, 0.8]])["aurc"] == 0
    assert judged("aurc", ids("00"), ids("11"), [[0.9, 0.8]])["aurc"] == pytest.approx(1)


@settings(max_examples=100, deadline=None)
@given(wrong=st.lists(st.booleans(), min_size=1, max_size=200), seed=st.integers(0, 1000))
def test_aurc_of_confidences_that_are_apart_is_that_of_the_sorted_pixels(wrong: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    logit = np.sort(rng.choice(np.arange(-100, 200), len(wrong), replace=False) * 0.05)[::-1]
    sure, order = 1 / (1 + np.exp(-logit)), rng.permutation(len(wrong))
    label, prediction = np.zeros((1, len(wrong)), np.uint8), np.array(wrong, np.uint8)
    result = judged("aurc", label, prediction[None, order], sure[None, order])
    assert result["aurc"] == pytest.approx(area(wrong))
    assert result["excess"] == pytest.approx(area(wrong) - area(sorted(wrong)), abs=1e-12)


def test_pixels_of_one_confidence_count_as_in_random_order() -> None:
    rng = np.random.default_rng(0)
    wrong = [False] * 6 + [True] * 3
    mean = np.mean([area([False, True, *rng.permutation(wrong), True]) for _ in range(4000)])
    sure = [[0.99, 0.98, *[0.9] * 9, 0.6]]
    prediction = np.array([[0, 1, *wrong, 1]], np.uint8)
    found = judged("aurc", np.zeros((1, 12), np.uint8), prediction, sure)["aurc"]
    assert found == pytest.approx(mean, abs=0.003)


def test_bins_rise_and_keep_apart_what_is_near_one() -> None:
    sure = np.float32([1e-3, 1 / 255, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999, 1.0])
    places = bin_of(sure.astype(np.float64)).tolist()
    assert places == sorted(set(places))
    assert 0 <= places[0] < places[-1] == 1023


@pytest.mark.parametrize("strange", [0.0, 1.01, -0.1, np.nan])
@pytest.mark.parametrize("name", ["ece", "aurc"])
def test_what_is_not_a_probability_is_refused(name: str, strange: float) -> None:
    with pytest.raises(ValueError, match="not a probability"):
        judged(name, ids("00"), ids("00"), [[0.5, strange]])
    assert judged(name, ids("0."), ids("00"), [[0.5, strange]])[name] is not None, "under ignored pixels it is nothing"
