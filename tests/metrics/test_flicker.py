"""Flicker rate: by hand, and pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import ids, random_clip, steady
from numpy.typing import NDArray

from ifrkit.core.plugins import load
from ifrkit.core.records import PairFlow
from ifrkit.metrics.base import ClipResult


def gray(*rows: str) -> NDArray[np.uint8]:
    """A picture of gray levels 0, 28, 56, ... for the digits."""
    return (ids(*rows)[..., None] * np.uint8(28)).repeat(3, 2)


def flicker(clip: ClipResult, classes: int = 4) -> dict[str, Any]:
    metric = load("metrics", "flicker")(classes)
    metric.update(clip)
    result: dict[str, Any] = metric.compute()
    return result


def test_by_hand() -> None:
    """The picture moves one pixel to the right; the last pixel leaves it, and one is covered by something else."""
    flow = steady((1, 0), (1, 5))
    flow.consistent_hw[0, 4] = False
    pictures = {0: gray("12345"), 1: gray("91294")}  # the point of the 3 is hidden by a 9
    predictions = {0: ids("00112"), 1: ids("10211")}
    # 1 -> 1: class 0 stays 0. 2 -> 2: class 0 becomes 2. 3 -> 9: not explained. 4 -> 4: class 1 stays.
    result = flicker(ClipResult("clip", predictions, flows={0: flow}, frames=pictures))
    assert result["flicker"] == pytest.approx(1 / 3)
    assert result["per_class"] == [0.5, 0.0, None, None]
    assert result["judged_share"] == pytest.approx(3 / 5)


@pytest.mark.parametrize(("step", "counts"), [(17, True), (18, False)])
def test_how_alike_colours_are(step: int, counts: bool) -> None:
    """17 levels in each channel are 29.4 apart, 18 are 31.2; the limit is 30.1."""
    pictures = {0: np.full((1, 2, 3), 100, np.uint8), 1: np.full((1, 2, 3), 100 + step, np.uint8)}
    clip = ClipResult("clip", {0: ids("00"), 1: ids("01")}, flows={0: steady((0, 0), (1, 2))}, frames=pictures)
    assert flicker(clip)["flicker"] == (0.5 if counts else None)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_pixel_by_pixel(seed: int) -> None:
    clip = random_clip(seed)
    changed = judged = 0
    for index, (flow_2hw, consistent_hw) in clip.flows.items():
        for y, x in np.ndindex(*consistent_hw.shape):
            height, width = consistent_hw.shape
            row = min(max(round(float(np.float32(y) + flow_2hw[1, y, x])), 0), height - 1)
            column = min(max(round(float(np.float32(x) + flow_2hw[0, y, x])), 0), width - 1)
            colours = clip.frames[index][y, x].astype(float), clip.frames[index + 1][row, column].astype(float)
            if consistent_hw[y, x] and np.linalg.norm(colours[0] - colours[1]) <= 0.118 * 255:
                judged += 1
                changed += clip.predictions[index][y, x] != clip.predictions[index + 1][row, column]
    assert judged > 0
    assert flicker(clip)["flicker"] == pytest.approx(changed / judged)


def test_occluded_pixels_do_not_count() -> None:
    pictures = dict.fromkeys(range(2), gray("11"))
    flow = PairFlow(np.zeros((2, 1, 2), np.float32), np.array([[True, False]]))
    result = flicker(ClipResult("clip", {0: ids("00"), 1: ids("01")}, flows={0: flow}, frames=pictures))
    assert result["flicker"] == 0
