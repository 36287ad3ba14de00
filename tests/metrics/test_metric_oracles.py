"""Metrics against torchmetrics, and warps against references that go pixel by pixel."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ifrkit.core.plugins import load
from ifrkit.metrics._pairs import warp_nearest
from ifrkit.metrics._vc import VideoConsistency
from ifrkit.metrics.base import ClipResult
from ifrkit.metrics.tc_etc import warp_truncated
from ifrkit.models.warp import warp_nearest as torch_warp_nearest

SIZE = (4, 5)
Ids = NDArray[np.uint8]
Flow = NDArray[np.float32]

STEPS = st.floats(-7, 7, width=32) | st.sampled_from([0.0, 0.5, -0.5, 1.0, 1.5, -1.5])
"""Also onto pixels, between two of them, and out of the frame."""
FLOWS = arrays(np.float32, (2, *SIZE), elements=STEPS)
MAPS = arrays(np.uint8, SIZE, elements=st.integers(0, 18))


@pytest.fixture(scope="module")
def oracle() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchmetrics.functional.classification")


@st.composite
def labelled(draw: st.DrawFn) -> tuple[int, list[tuple[Ids, Ids]]]:
    """Number of classes, and pairs of label and prediction; labels have ignored pixels, classes may be missing."""
    classes = draw(st.integers(2, 6))
    known = st.integers(0, draw(st.integers(0, classes - 1)))
    label = arrays(np.uint8, SIZE, elements=known | st.just(255))
    prediction = arrays(np.uint8, SIZE, elements=st.integers(0, classes - 1))
    return classes, draw(st.lists(st.tuples(label, prediction), min_size=1, max_size=3))


@settings(max_examples=150, deadline=None)
@given(case=labelled())
def test_miou_accuracy_and_weighted_iou(oracle: Any, case: tuple[int, list[tuple[Ids, Ids]]]) -> None:
    classes, pairs = case
    metric = load("metrics", "miou")(classes)
    for label, prediction in pairs:
        metric.update(ClipResult("clip", {0: prediction}, {0: label}))
    result = metric.compute()
    labels, predictions = (torch.from_numpy(np.stack(maps)).long() for maps in zip(*pairs, strict=True))
    if (labels == 255).all():
        assert result["miou"] is None
        return
    options = {"num_classes": classes, "ignore_index": 255}

    def expected(average: str) -> Any:
        return oracle.multiclass_jaccard_index(predictions, labels, average=average, **options)

    assert result["miou"] == pytest.approx(expected("macro").item(), abs=1e-6)
    assert result["frequency_weighted_iou"] == pytest.approx(expected("weighted").item(), abs=1e-6)
    accuracy = oracle.multiclass_accuracy(predictions, labels, average="micro", **options)
    assert result["pixel_accuracy"] == pytest.approx(accuracy.item(), abs=1e-6)
    assert [value or 0.0 for value in result["iou"]] == pytest.approx(expected("none").tolist(), abs=1e-6)


def clamped(value: float, size: int) -> int:
    return max(0, min(size - 1, int(value)))


def truncated_pixel(ids: Ids, flow: Flow, y: int, x: int) -> int:
    """resample2d of the released kernel in C's types, then a cast to uint8."""
    single, (height, width) = np.float32, ids.shape
    xf, yf = single(x) + flow[0, y, x], single(y) + flow[1, y, x]
    alpha, beta = xf - np.floor(xf), yf - np.floor(yf)
    left, right = clamped(math.floor(xf), width), clamped(math.floor(xf) + 1, width)
    top, bottom = clamped(math.floor(yf), height), clamped(math.floor(yf) + 1, height)
    value = single(0)
    value += single((1.0 - float(alpha)) * (1.0 - float(beta)) * float(ids[top, left]))
    value += single(float(alpha) * (1.0 - float(beta)) * float(ids[top, right]))
    value += single((1.0 - float(alpha)) * float(beta) * float(ids[bottom, left]))
    value += alpha * beta * single(ids[bottom, right])
    return int(value)


@settings(max_examples=150, deadline=None)
@given(ids=MAPS, flow=FLOWS)
def test_truncated_warp(ids: Ids, flow: Flow) -> None:
    expected = [[truncated_pixel(ids, flow, y, x) for x in range(SIZE[1])] for y in range(SIZE[0])]
    assert warp_truncated(ids, flow).tolist() == expected


def test_truncated_warp_of_many_rows_to_the_last_bit() -> None:
    """Of a constant 13 one pixel in a hundred would differ if the far corner were weighted in double too."""
    rng, size = np.random.default_rng(0), (75, 40)
    ids = np.where(rng.random(size) < 0.05, rng.integers(0, 19, size), 13).astype(np.uint8)
    flow = rng.normal(0, 4, (2, *size)).astype(np.float32)
    expected = [[truncated_pixel(ids, flow, y, x) for x in range(size[1])] for y in range(size[0])]
    assert warp_truncated(ids, flow).tolist() == expected


def nearest_pixel(ids: Ids, flow: Flow, y: int, x: int) -> int:
    """Python rounds half to even too."""
    row = clamped(round(float(np.float32(y) + flow[1, y, x])), ids.shape[0])
    column = clamped(round(float(np.float32(x) + flow[0, y, x])), ids.shape[1])
    return int(ids[row, column])


@settings(max_examples=150, deadline=None)
@given(ids=MAPS, flow=FLOWS)
def test_nearest_warp(ids: Ids, flow: Flow) -> None:
    expected = [[nearest_pixel(ids, flow, y, x) for x in range(SIZE[1])] for y in range(SIZE[0])]
    assert warp_nearest(ids, flow).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(ids=MAPS, flow=arrays(np.float32, (2, *SIZE), elements=st.floats(width=32)))
def test_any_flow_at_all_reads_what_the_warp_of_training_reads(ids: Ids, flow: Flow) -> None:
    theirs = torch_warp_nearest(torch.from_numpy(ids)[None], torch.from_numpy(flow)[None])[0]
    assert np.array_equal(warp_nearest(ids, flow), theirs.numpy())
    assert warp_truncated(ids, flow).max() <= ids.max()


class OfThree(VideoConsistency):
    """Video consistency over windows of 3 frames."""

    window, headline, title = 3, "mvc3", "mVC3"


@settings(max_examples=100, deadline=None)
@given(
    clips=st.lists(st.tuples(arrays(np.uint8, (5, 2, 3), elements=st.integers(0, 1)), st.integers(0, 9)), max_size=3)
)
def test_video_consistency(clips: list[tuple[Ids, int]]) -> None:
    metric, official, every = OfThree(2), [], []
    for labels, seed in clips:
        predictions = np.random.default_rng(seed).integers(0, 2, labels.shape).astype(np.uint8)
        metric.update(ClipResult("clip", dict(enumerate(predictions)), dict(enumerate(labels))))
        for start in range(3):
            still = same = 0
            for y, x in np.ndindex(2, 3):
                if len(set(labels[start : start + 3, y, x].tolist())) == 1:
                    still += 1
                    same += len(set(predictions[start : start + 3, y, x].tolist())) == 1
            if still:
                every.append(same / still)
                if start < 2:
                    official.append(same / still)
    result = metric.compute()
    assert result["windows"] == len(official)
    assert result["mvc3"] == (pytest.approx(np.mean(official)) if official else None)
    assert result["every_window"] == (pytest.approx(np.mean(every)) if every else None)
