"""Shapes are drawn into as much of the frame as they need, to the same pixels."""

from __future__ import annotations

import cv2
import numpy as np
from label_exports import whole

from ifrkit.labels._coco_mask import counts_of, mask_of, polygon_mask
from ifrkit.labels._shapes import PEN, Part, scribble
from ifrkit.labels.yolo import _filled


def test_parts_of_a_frame_are_drawn_as_in_the_frame() -> None:
    """As small as what they show, also where that leaves the frame or lies outside."""
    rng = np.random.default_rng(0)
    for number in range(300):
        size = height, width = tuple(int(n) for n in rng.integers(1, 60, 2))
        spread = rng.choice([0.05, 0.5, 2])
        shares = (rng.random(2) * 2.4 - 0.7 + spread * (rng.random((int(rng.integers(3, 9)), 2)) - 0.5)).clip(-0.5, 1.5)
        canvas = np.zeros(size, np.uint8)
        cv2.fillPoly(canvas, [(shares * (width, height)).astype(np.int32)], 1)
        assert np.array_equal(whole(_filled(shares, size), size), canvas == 1)
        dots, joined = np.floor(shares * (width, height)).astype(np.int32), bool(number % 2)
        canvas[:] = 0
        if joined:
            cv2.polylines(canvas, [dots], False, 1)
        inside = dots[((dots >= 0) & (dots < (width, height))).all(1)]
        canvas[inside[:, 1], inside[:, 0]] = 1
        line = scribble("road", dots.tolist(), size, joined)
        assert line.mask_hw is not None
        thick = cv2.dilate(canvas, np.ones((PEN, PEN), np.uint8)).astype(bool)
        assert np.array_equal(whole(Part(line.mask_hw, line.at), size), thick)
        runs = rng.random(size) < rng.random() ** 3
        runs[: int(rng.integers(0, height)), :], runs[:, int(rng.integers(0, width)) :] = False, False
        assert np.array_equal(whole(mask_of(counts_of(runs), size), size), runs)


def test_the_cost_of_a_shape_is_that_of_its_area() -> None:
    """A frame may have thousands of them."""
    frame, small = (2000, 3000), [(1500.0, 700.0), (1510.0, 700.0), (1510.0, 709.0)]
    runs = np.zeros(frame, np.bool_)
    runs[700:709, 1500:1510] = True
    line = scribble("road", small, frame, True).mask_hw
    assert line is not None
    shapes = [line, polygon_mask(small, frame).mask_hw, mask_of(counts_of(runs), frame).mask_hw]
    shapes.append(_filled(np.array(small) / frame[::-1], frame).mask_hw)
    assert all(90 <= shape.size <= 200 for shape in shapes), [shape.shape for shape in shapes]
