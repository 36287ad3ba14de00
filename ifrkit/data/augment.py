"""Normalisation and photometric distortion, batched on the device (spec 3.4).

Distortion keeps the arithmetic of the released code: every step ends in uint8 by truncation, saturation and hue each
make their own round trip through OpenCV's 8-bit HSV (H in 0..179, S and V in 0..255).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEAN = (123.675, 116.28, 103.53)
"""RGB mean of ImageNet, 0..255."""
STD = (58.395, 57.12, 57.375)

BRIGHTNESS, CONTRAST_FIRST, SATURATION, HUE, CONTRAST_LAST = range(5)
"""Columns of the parameters; NaN where a step is skipped."""


def normalise(images_b3hw: Tensor) -> Tensor:
    """uint8 RGB -> float32 (x - mean) / std, in two rounded steps as OpenCV does it."""
    shape = (1, 3, 1, 1)
    mean = torch.tensor(MEAN, dtype=torch.float64).view(shape)
    inverse = (1 / torch.tensor(STD, dtype=torch.float64)).float().view(shape)
    mean = mean.float().to(images_b3hw.device)
    return (images_b3hw.float() - mean) * inverse.to(images_b3hw.device)


def draw_distortion(rng: np.random.Generator) -> NDArray[np.float32]:
    """(5,) float32: each step with probability 1/2; contrast before or after the HSV steps, also 1/2."""
    on = rng.random(4) < 0.5
    first = bool(rng.integers(2))
    brightness = rng.uniform(-32, 32)
    contrast, saturation = rng.uniform(0.5, 1.5, 2)
    hue = int(rng.integers(-18, 18))
    values = (
        brightness if on[0] else np.nan,
        contrast if on[1] and first else np.nan,
        saturation if on[2] else np.nan,
        hue if on[3] else np.nan,
        contrast if on[1] and not first else np.nan,
    )
    return np.array(values, dtype=np.float32)


def distort(images_b3hw: Tensor, params_bp: Tensor) -> Tensor:
    """Distorted uint8 RGB images; params_bp (b, 5) from `draw_distortion`."""
    on = ~torch.isnan(params_bp)
    values = params_bp.nan_to_num()[:, :, None, None, None]

    def chosen(column: int, changed: Tensor, before: Tensor) -> Tensor:
        return torch.where(on[:, column, None, None, None], changed, before)

    x = images_b3hw
    x = chosen(BRIGHTNESS, _to_u8(x.float() + values[:, BRIGHTNESS]), x)
    x = chosen(CONTRAST_FIRST, _to_u8(x.float() * values[:, CONTRAST_FIRST]), x)
    if bool(on[:, SATURATION].any()):
        hsv = rgb_to_hsv(x)
        saturated = _to_u8(hsv[:, 1:2].float() * values[:, SATURATION])
        x = chosen(SATURATION, hsv_to_rgb(torch.cat([hsv[:, :1], saturated, hsv[:, 2:]], 1)), x)
    if bool(on[:, HUE].any()):
        hsv = rgb_to_hsv(x)
        turned = (hsv[:, :1].int() + values[:, HUE].int()).remainder(180).to(torch.uint8)
        x = chosen(HUE, hsv_to_rgb(torch.cat([turned, hsv[:, 1:]], 1)), x)
    return chosen(CONTRAST_LAST, _to_u8(x.float() * values[:, CONTRAST_LAST]), x)


def _to_u8(x: Tensor) -> Tensor:
    return x.clamp(0, 255).to(torch.uint8)


def rgb_to_hsv(images_b3hw: Tensor) -> Tensor:
    """uint8 RGB -> uint8 HSV by OpenCV's fixed-point formula (12 fractional bits)."""
    r, g, b = images_b3hw.int().unbind(1)
    v, low = torch.maximum(torch.maximum(r, g), b), torch.minimum(torch.minimum(r, g), b)
    d = v - low
    n = torch.arange(1, 256, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.int32)
    by_value = torch.cat([zero, torch.round((255 << 12) / n).int()]).to(v.device)
    by_range = torch.cat([zero, torch.round((180 << 12) / (6 * n)).int()]).to(v.device)
    s = (d * by_value[v.long()] + 2048) >> 12
    h = torch.where(v == r, g - b, torch.where(v == g, b - r + 2 * d, r - g + 4 * d))
    h = (h * by_range[d.long()] + 2048) >> 12
    return torch.stack([torch.where(h < 0, h + 180, h), s, v], 1).to(torch.uint8)


def hsv_to_rgb(hsv_b3hw: Tensor) -> Tensor:
    """uint8 HSV -> uint8 RGB in float32 with truncation, as OpenCV's vectorised path."""
    h, s, v = hsv_b3hw.float().unbind(1)
    h, s, v = h * (6.0 / 180.0), s * (1.0 / 255.0), v * (1.0 / 255.0)
    sector = h.floor()
    f = h - sector
    p, q, t = v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f))
    k = sector.long().remainder(6)[:, None]
    table = torch.stack([v, q, p, p, t, v]), torch.stack([t, v, v, q, p, p]), torch.stack([p, p, t, v, v, q])
    rgb = [channel.transpose(0, 1).gather(1, k)[:, 0] for channel in table]
    return _to_u8(torch.stack(rgb, 1) * 255)
