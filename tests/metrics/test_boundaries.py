"""Boundary IoU and trimap IoU: by hand, against torchmetrics, and class by class as the published code erodes masks."""

from __future__ import annotations

import warnings
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from judged import ids
from numpy.typing import NDArray

from ifrkit.core.plugins import load
from ifrkit.metrics._bands import band, edges
from ifrkit.metrics.base import ClipResult
from ifrkit.metrics.boundary_iou import width_of

Ids = NDArray[np.uint8]
SIZE = (9, 11)
MAPS = arrays(np.uint8, SIZE, elements=st.integers(0, 2))
BLOCKS = arrays(np.uint8, (3, 4), elements=st.integers(0, 2) | st.just(255)).map(
    lambda small: small.repeat(3, 0).repeat(3, 1)[: SIZE[0], : SIZE[1]]
)
"""Labels with areas, some of them ignored."""


def judged(name: str, label: Ids, prediction: Ids, classes: int = 3) -> dict[str, Any]:
    metric = load("metrics", name)(classes)
    metric.update(ClipResult("clip", {0: prediction}, {0: label}))
    result: dict[str, Any] = metric.compute()
    return result


def test_a_band_by_hand() -> None:
    label = ids("00011", "00011", "00000", "00...")
    assert band(label, 1).astype(int).tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
    assert not band(ids("00.", "0.."), 5).any(), "ignored pixels are of no class"
    assert edges((3, 5), 1).astype(int).tolist() == [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]


@settings(max_examples=100, deadline=None)
@given(label=BLOCKS, noise=MAPS, width=st.integers(1, 4))
def test_bands_pixel_by_pixel(label: Ids, noise: Ids, width: int) -> None:
    for seen in (label, noise):
        found = band(seen, width)
        for y, x in np.ndindex(*seen.shape):
            around = seen[max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
            others = {int(i) for i in around.ravel()} - {255, int(seen[y, x])}
            assert found[y, x] == (seen[y, x] != 255 and bool(others))


def published_band(mask: Ids, width: int) -> Ids:
    """`mask_to_boundary` of the released boundary IoU: a mask less what is left of it after `width` erosions."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)
    left: Ids = mask - eroded[1:-1, 1:-1]
    return left


@settings(max_examples=100, deadline=None)
@given(label=MAPS, prediction=MAPS, blocks=BLOCKS)
def test_boundary_iou_of_each_class_as_published(label: Ids, prediction: Ids, blocks: Ids) -> None:
    label = np.where(blocks == 255, label, blocks).astype(np.uint8)  # nothing is ignored there
    result = judged("boundary-iou", label, prediction)
    for c in range(3):
        one, other = (published_band((seen == c).astype(np.uint8), width_of(SIZE)) > 0 for seen in (label, prediction))
        union = int((one | other).sum())
        expected = int((one & other).sum()) / union if union else None
        assert result["iou"][c] == (None if expected is None else pytest.approx(expected))


def test_the_width_is_a_share_of_the_diagonal() -> None:
    assert width_of((10, 10)) == 1
    assert width_of((180, 240)) == 6
    assert width_of((1024, 2048)) == 46


def test_boundary_iou_by_hand() -> None:
    """Width 1. Only the inside of the square differs from its outline; the prediction is one column too far right."""
    label, shifted = np.zeros((7, 9), np.uint8), np.zeros((7, 9), np.uint8)
    label[2:5, 2:5], shifted[2:5, 3:6] = 1, 1
    # Class 1: both outlines have 8 pixels. They share (2, 3), (2, 4), (4, 3) and (4, 4).
    result = judged("boundary-iou", label, shifted, 2)
    assert result["iou"][1] == pytest.approx(4 / (8 + 8 - 4))
    hollow = label.copy()
    hollow[3, 3] = 0
    assert judged("boundary-iou", label, hollow, 2)["iou"][1] == 1.0, "the inside does not count"
    assert judged("miou", label, hollow, 2)["iou"][1] == pytest.approx(8 / 9)


def test_what_is_ignored_counts_nowhere_and_makes_no_contour() -> None:
    """The right half is ignored: whatever is predicted there, and along its border, nothing changes."""
    label = np.zeros((6, 12), np.uint8)
    label[:, 6:] = 255
    label[2:4, 2:4] = 1
    wrong = np.where(label == 255, 1, label).astype(np.uint8)
    for name in ("boundary-iou", "trimap-iou"):
        result = judged(name, label, wrong, 2)
        assert result[name.replace("-", "_")] == 1.0
    lone = np.full((6, 12), 255, np.uint8)
    lone[:, :6] = 0
    assert judged("trimap-iou", lone, wrong, 2)["trimap_iou"] is None, "no contour, nothing to judge"


@settings(max_examples=50, deadline=None)
@given(label=BLOCKS, prediction=MAPS)
def test_trimap_iou_is_miou_of_the_pixels_near_a_contour(label: Ids, prediction: Ids) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = pytest.importorskip("torchmetrics.functional.classification")
    result = judged("trimap-iou", label, prediction)
    for width, value in result["by_width"].items():
        near = np.where(band(label, int(width)), label, 255).astype(np.uint8)
        if (near == 255).all():
            assert value is None
            continue
        expected = oracle.multiclass_jaccard_index(
            torch.from_numpy(prediction[None]).long(), torch.from_numpy(near[None]).long(), 3, ignore_index=255
        )
        assert value == pytest.approx(expected.item(), abs=1e-6)
    assert result["trimap_iou"] == result["by_width"]["4"]
