"""Worst class and fine-grained mIoU: by hand, and picture by picture with torchmetrics."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from judged import ids
from numpy.typing import NDArray

from ifrkit.core.plugins import load
from ifrkit.metrics.base import ClipResult

Ids = NDArray[np.uint8]


def judged(name: str, pairs: list[tuple[Ids, Ids]], classes: int) -> dict[str, Any]:
    metric = load("metrics", name)(classes)
    for label, prediction in pairs:
        metric.update(ClipResult("clip", {0: prediction}, {0: label}))
    result: dict[str, Any] = metric.compute()
    return result


def test_the_worst_class_is_one_that_the_labels_hold() -> None:
    """IoU 2/4, 2/3, 0 (only predicted), nothing: the worst is class 0, though class 2 has less."""
    pairs = [(ids("0011"), ids("0001")), (ids("01.."), ids("2123"))]
    assert judged("worst-class", pairs, 4) == {"worst_class_iou": 0.5, "class": 0}
    assert judged("worst-class", [(ids("03"), ids("00"))], 4) == {"worst_class_iou": 0.0, "class": 3}
    assert judged("worst-class", [(ids(".."), ids("00"))], 4) == {"worst_class_iou": None, "class": None}


def test_each_picture_by_itself() -> None:
    """First: class 0 2/3, class 1 1/2 of 4 pixels. Second: class 0 alone, 1/2; the predicted 1 is not in its label."""
    pairs = [(ids("0011"), ids("0001")), (ids("00"), ids("01")), (ids(".."), ids("01"))]
    result = judged("image-miou", pairs, 3)
    first, second = (2 / 3 + 1 / 2) / 2, 1 / 2
    assert result["image_miou"] == pytest.approx((first + second) / 2)
    assert result["iou"] == [pytest.approx((2 / 3 + 1 / 2) / 2), pytest.approx(1 / 2), None]
    assert result["class_miou"] == pytest.approx(((2 / 3 + 1 / 2) / 2 + 1 / 2) / 2)
    assert result["images"] == 2, "a picture where all is ignored is none"


LABELS = arrays(np.uint8, (3, 4), elements=st.integers(0, 3) | st.just(255))
PREDICTIONS = arrays(np.uint8, (3, 4), elements=st.integers(0, 3))


@settings(max_examples=100, deadline=None)
@given(pairs=st.lists(st.tuples(LABELS, PREDICTIONS), min_size=1, max_size=4))
def test_means_over_pictures_of_the_classes_in_their_labels(pairs: list[tuple[Ids, Ids]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = pytest.importorskip("torchmetrics.functional.classification")
    rows, columns = [], {c: [] for c in range(4)}  # type: ignore[var-annotated]
    for label, prediction in pairs:
        classes = sorted({int(c) for c in label.ravel()} - {255})
        if not classes:
            continue
        per_class = oracle.multiclass_jaccard_index(
            torch.from_numpy(prediction[None]).long(),
            torch.from_numpy(label[None]).long(),
            4,
            average="none",
            ignore_index=255,
        ).tolist()
        rows.append(np.mean([per_class[c] for c in classes]))
        for c in classes:
            columns[c].append(per_class[c])
    result = judged("image-miou", pairs, 4)
    assert result["image_miou"] == (pytest.approx(np.mean(rows), abs=1e-6) if rows else None)
    means = [np.mean(values) for values in columns.values() if values]
    assert result["class_miou"] == (pytest.approx(np.mean(means), abs=1e-6) if means else None)
