"""What happens to pixels on the device: photometric distortion and normalisation (spec 3.4), batched.

The distortion keeps the released recipe to the bit where OpenCV's own scalar and vector paths agree: 8-bit values,
float32 arithmetic, truncation after every step, and OpenCV's 8-bit HSV (H in 0..179, S and V in 0..255).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEAN = (123.675, 116.28, 103.53)
"""RGB, 0..255."""
STD = (58.395, 57.12, 57.375)

BRIGHTNESS, CONTRAST_FIRST, SATURATION, HUE, CONTRAST_LAST = range(5)
"""Columns of the distortion parameters; NaN switches a step off."""


def draw_distortion(rng: np.random.Generator) -> NDArray[np.float32]:
    """Parameters (5,) of one image, in the order of the columns above; every step has probability one half."""
    parameters = np.full(5, np.nan, np.float32)
    on = rng.random(4) < 0.5
    contrast_column = CONTRAST_FIRST if rng.random() < 0.5 else CONTRAST_LAST
    values = rng.uniform(-32, 32), rng.uniform(0.5, 1.5), int(rng.integers(-18, 18)), rng.uniform(0.5, 1.5)
    columns = BRIGHTNESS, SATURATION, HUE, contrast_column
    for column, value, used in zip(columns, values, on, strict=True):
        if used:
            parameters[column] = value
    return parameters


def distort(images_b3hw: Tensor, params_bp: Tensor) -> Tensor:
    """Photometric distortion of uint8 RGB images, each by its own parameters (b, 5); gives uint8 (b, 3, h, w).

    Keep params_bp on the CPU: the images that a step concerns are then chosen without waiting for the device.
    """
    images_b3hw = images_b3hw.clone(memory_format=torch.contiguous_format)
    for column, step in _STEPS:
        chosen = params_bp[:, column].isfinite().nonzero().flatten()
        if len(chosen):
            values = params_bp[chosen, column].to(images_b3hw.device)
            rows = chosen.to(images_b3hw.device)
            images_b3hw[rows] = step(images_b3hw[rows], values[:, None, None])
    return images_b3hw


def _brightness(images_b3hw: Tensor, delta_b11: Tensor) -> Tensor:
    return _truncate(images_b3hw + delta_b11[:, None])


def _contrast(images_b3hw: Tensor, factor_b11: Tensor) -> Tensor:
    return _truncate(images_b3hw * factor_b11[:, None])


def _saturation(images_b3hw: Tensor, factor_b11: Tensor) -> Tensor:
    hue, saturation, value = rgb_to_hsv(images_b3hw)
    return hsv_to_rgb(hue, _truncate(saturation * factor_b11), value)


def _hue(images_b3hw: Tensor, shift_b11: Tensor) -> Tensor:
    hue, saturation, value = rgb_to_hsv(images_b3hw)
    return hsv_to_rgb((hue + shift_b11.to(torch.int32)) % 180, saturation, value)


_STEPS: tuple[tuple[int, Callable[[Tensor, Tensor], Tensor]], ...] = (
    (BRIGHTNESS, _brightness),
    (CONTRAST_FIRST, _contrast),
    (SATURATION, _saturation),
    (HUE, _hue),
    (CONTRAST_LAST, _contrast),
)


def _truncate(values: Tensor) -> Tensor:
    return values.clamp_(0, 255).to(torch.uint8)


def rgb_to_hsv(images_b3hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """OpenCV's 8-bit HSV of uint8 RGB images: H (b, h, w) 0..179, S and V 0..255, all int32. Exact."""
    red, green, blue = images_b3hw.to(torch.int32).unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    by_value, by_chroma = (table.to(value.device) for table in _divisions())
    saturation = (chroma * by_value[value] + 2048) >> 12
    sector = torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    sector = torch.where(value == red, green - blue, sector)
    hue = (sector * by_chroma[chroma] + 2048) >> 12
    return torch.where(hue < 0, hue + 180, hue), saturation, value


@lru_cache(maxsize=1)
def _divisions() -> tuple[Tensor, Tensor]:
    """Division by value and by 6 chroma in 12-bit fixed point; 0 for 0."""
    tables = (np.rint((scale << 12) / np.maximum(np.arange(256) * times, 1)) for scale, times in ((255, 1), (180, 6)))
    by_value, by_chroma = (torch.from_numpy(table.astype(np.int32)) for table in tables)
    by_value[0] = by_chroma[0] = 0
    return by_value, by_chroma


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """uint8 RGB (b, 3, h, w) of 8-bit HSV (b, h, w).

    Truncates like OpenCV's vector path; its scalar path (the last columns of some widths) rounds.
    """
    position = hue.float() * (6 / 180)
    sector = position.to(torch.int32)
    fraction = position - sector
    s, v = saturation.float() * (1 / 255), value.float() * (1 / 255)
    low, falling, rising = v * (1 - s), v * (1 - s * fraction), v * (1 - s * (1 - fraction))
    levels = torch.stack((v, low, falling, rising))
    # For sectors 0..5, which of (v, low, falling, rising) each of red, green and blue is.
    table = torch.tensor([[0, 2, 1, 1, 3, 0], [3, 0, 0, 2, 1, 1], [1, 1, 3, 0, 0, 2]], device=hue.device)
    which = table[:, sector % 6]
    rgb = levels.gather(0, which) * 255
    return _truncate(rgb).transpose(0, 1)


def normalise(images_b3hw: Tensor) -> Tensor:
    """(x - mean) / std of uint8 RGB images, float32, contiguous.

    OpenCV rounds twice, float32(x - mean) and float32(that / std); one table of 256 values a channel is exactly that.
    """
    channel_131 = 256 * torch.arange(3, device=images_b3hw.device, dtype=torch.int32)[:, None, None]
    return _normal_values().to(images_b3hw.device)[(images_b3hw.to(torch.int32) + channel_131).contiguous()]


@lru_cache(maxsize=1)
def _normal_values() -> Tensor:
    centred = (np.arange(256) - np.array(MEAN)[:, None]).astype(np.float32)
    scaled = (centred * (1 / np.array(STD))[:, None]).astype(np.float32)
    return torch.from_numpy(scaled.reshape(3 * 256))
