"""Colour jitter: what each step does, and that images do not touch each other."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from ifrkit.core.keyed import key_rng
from ifrkit.data.pixels.jitter import Jitter, gaussian_blur, turn_hue

PLAIN = np.array([1, 1, 1, 0, 0, 0], np.float32)
JITTER = Jitter(0.5, 0.5, 0.5, 0.25)


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(key_rng(seed, "jitter").integers(0, 256, (count, 3, 12, 17), dtype=np.uint8))


def test_nothing_drawn_changes_nothing() -> None:
    assert torch.equal(JITTER.apply(images(2), torch.from_numpy(np.stack([PLAIN, PLAIN]))), images(2))


def test_each_image_by_its_own_parameters() -> None:
    params = torch.from_numpy(np.stack([JITTER.draw(key_rng(1, n)) for n in range(8)]))
    together = JITTER.apply(images(8), params)
    assert len(params.unique(dim=0)) == 8
    for n in range(8):
        assert torch.equal(JITTER.apply(images(8)[n : n + 1], params[n : n + 1]), together[n : n + 1])


def test_draws_are_in_range_and_as_frequent_as_asked() -> None:
    drawn = np.stack([JITTER.draw(key_rng(2, n)) for n in range(4000)])
    jittered = (drawn[:, :3] != 1).any(1)
    assert jittered.mean() == pytest.approx(0.8, abs=0.03)
    assert drawn[:, 4].mean() == pytest.approx(0.2, abs=0.03)
    assert (drawn[:, 5] > 0).mean() == pytest.approx(0.5, abs=0.03)
    assert ((drawn[:, :3] >= 0.5) & (drawn[:, :3] <= 1.5)).all()
    assert np.abs(drawn[:, 3]).max() <= 0.25
    assert drawn[:, 5].max() <= 2


def test_hue_turns_as_the_standard_library_does() -> None:
    pixels = images(1).float() / 255
    turned = turn_hue(pixels, torch.tensor([0.3]).view(1, 1, 1, 1))[0].permute(1, 2, 0).reshape(-1, 3)
    for before, after in zip(pixels[0].permute(1, 2, 0).reshape(-1, 3).tolist(), turned.tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        assert after == pytest.approx(colorsys.hsv_to_rgb((hue + 0.3) % 1, saturation, value), abs=1e-5)


def test_gray_and_brightness() -> None:
    gray = PLAIN.copy()
    gray[4] = 1
    dark = PLAIN.copy()
    dark[0] = 0.5
    out = JITTER.apply(images(2), torch.from_numpy(np.stack([gray, dark])))
    assert torch.equal(out[0, 0], out[0, 1])
    assert (out[1].int() - images(2)[1].int() / 2).abs().max() <= 1


def test_blur_keeps_flat_images_and_spreads_a_point() -> None:
    flat = torch.full((1, 3, 12, 17), 0.4)
    assert torch.allclose(gaussian_blur(flat, torch.tensor([1.5])), flat, atol=1e-6)
    point = torch.zeros(1, 3, 21, 21)
    point[:, :, 10, 10] = 1
    blurred = gaussian_blur(point, torch.tensor([1.0]))
    assert blurred.sum().item() == pytest.approx(3, rel=1e-4)
    assert (blurred[0, 0, 10, 10] / blurred[0, 0, 10, 11]).item() == pytest.approx(np.exp(0.5), rel=1e-4)
