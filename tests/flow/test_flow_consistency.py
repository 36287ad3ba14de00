"""Which pixels of a flow are trusted."""

from __future__ import annotations

import numpy as np
import pytest

from ifrkit.data.pixels.flow import checked


def uniform(x: float, y: float) -> np.ndarray:
    return np.broadcast_to(np.array([x, y], np.float32)[:, None, None], (2, 6, 8)).copy()


@pytest.mark.parametrize(
    ("flow", "rows", "columns"),
    [
        ((0, 0), (0, 6), (0, 8)),
        ((2, 0), (0, 6), (0, 6)),
        ((-1.5, 0), (0, 6), (2, 8)),
        ((0, 0.25), (0, 5), (0, 8)),
        ((-3, -4), (4, 6), (3, 8)),
        ((7, 5), (0, 1), (0, 1)),
    ],
)
def test_only_what_stays_in_the_frame(
    flow: tuple[float, float], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    expected = np.zeros((6, 8), bool)
    expected[slice(*rows), slice(*columns)] = True
    forward = uniform(*flow)
    assert np.array_equal(checked(forward, None).consistent_hw, expected)
    assert np.array_equal(checked(forward, -forward).consistent_hw, expected)


@pytest.mark.parametrize(
    ("forward", "backward", "good"),
    [
        # |f + b|^2 <= 0.01 (|f|^2 + |b|^2) + 0.5
        ((0, 0), (0.7, 0), True),  # 0.49 <= 0.5049
        ((0, 0), (0.72, 0), False),  # 0.5184 > 0.505184
        ((0, 0), (0.5, 0.5), True),  # 0.5 <= 0.505
        ((0, 0), (0.52, 0.52), False),  # 0.5408 > 0.505408
        ((3, 0), (-3.8, 0), True),  # 0.64 <= 0.7344
        ((3, 0), (-3.9, 0), False),  # 0.81 > 0.7421
        ((3, 0), (3, 0), False),
        ((0, 2), (0, -2), True),
    ],
)
def test_only_what_comes_back(forward: tuple[float, float], backward: tuple[float, float], good: bool) -> None:
    assert checked(uniform(*forward), uniform(*backward)).consistent_hw[1, 2] == good


def test_backward_flow_is_read_between_pixels_where_the_forward_flow_ends() -> None:
    forward, backward = uniform(1.5, 0), uniform(9, 9)
    backward[:, 3, 3], backward[:, 3, 4] = (-1, 0), (-2, 0)
    good = checked(forward, backward).consistent_hw
    assert good[3, 2], "between (3, 3) and (3, 4) it is -1.5"
    assert good.sum() == 1


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e10, 1e20, -3e38])
def test_unknown_flow_is_not_trusted(odd: float) -> None:
    """Tools mark unknown pixels with huge numbers or NaN."""
    forward, backward = uniform(0, 0), uniform(0, 0)
    forward[0, 1, 1] = odd
    backward[1, 4, 5] = odd
    pair = checked(forward, backward)
    assert not pair.consistent_hw[1, 1]
    assert not pair.consistent_hw[4, 5]
    # Bilinear reading of the pixel may touch its neighbours, nothing beyond them.
    elsewhere = np.ones((6, 8), bool)
    elsewhere[1, 1] = False
    elsewhere[3:6, 4:7] = False
    assert pair.consistent_hw[elsewhere].all()
    assert not checked(forward, None).consistent_hw[1, 1]


def test_flow_is_handed_on_as_it_came() -> None:
    forward = np.random.default_rng(0).normal(0, 2, (6, 8, 2)).astype(np.float32).transpose(2, 0, 1)
    pair = checked(forward, None)
    assert np.array_equal(pair.flow_2hw, forward)
    assert pair.flow_2hw.flags.c_contiguous
