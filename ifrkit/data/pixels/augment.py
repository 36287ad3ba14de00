"""What happens to pixels on the device before they are normalised: the photometric distortion of IFR's released code.

The distortion keeps the released recipe to the bit where OpenCV's own scalar and vector paths agree: 8-bit values,
float32 arithmetic, truncation after every step, and OpenCV's 8-bit HSV (H in 0..179, S and V in 0..255).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ifrkit.core.lazy import np, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

BRIGHTNESS, CONTRAST_FIRST, SATURATION, HUE, CONTRAST_LAST = range(5)
"""Columns of the distortion parameters; NaN switches a step off."""


@dataclass(frozen=True)
class Photometric:
    """The released code's distortion, as the `by` of a copied view."""

    def draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """See `draw_distortion`."""
        return draw_distortion(rng)

    def apply(self, images_b3hw: Tensor, params_bp: Tensor) -> Tensor:
        """See `distort`."""
        return distort(images_b3hw, params_bp)


PHOTOMETRIC = Photometric()


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
            changed = step(images_b3hw.index_select(0, rows), values[:, None, None])
            images_b3hw.index_copy_(0, rows, changed)
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
    red, green, blue = (plane.to(torch.int32) for plane in images_b3hw.unbind(1))
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    by_value, by_chroma = (table.to(value.device) for table in _divisions())
    saturation = (chroma * _look_up(by_value, value) + 2048) >> 12
    # Which channel is the largest, red before green before blue; products, for torch.where is slow on the CPU.
    is_red, is_green = (value == red).int(), (value == green).int()
    sector = (1 - is_green) * (red - green + 4 * chroma) + is_green * (blue - red + 2 * chroma)
    sector = (1 - is_red) * sector + is_red * (green - blue)
    hue = (sector * _look_up(by_chroma, chroma) + 2048) >> 12
    return hue + ((hue >> 31) & 180), saturation, value


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.reshape(-1)).view(index.shape)  # four times as fast as table[index]


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
    position = (hue.float() * (6 / 180))[:, None]
    s, v = saturation.float()[:, None] * (1 / 255), value.float()[:, None] * (1 / 255)
    # How far each channel sinks from v towards v(1 - s): a trapezium over the six sectors of the colour circle.
    sinks = (
        torch.minimum(position - 1, 5 - position),  # red: 0 in sectors 5 and 0, 1 in 2 and 3
        torch.maximum(1 - position, position - 3),  # green: 0 in 1 and 2, 1 in 4 and 5
        torch.maximum(3 - position, position - 5),  # blue: 0 in 3 and 4, 1 in 0 and 1
    )
    levels = (1 - torch.cat(sinks, 1).clamp_(0, 1).mul_(s)).mul_(v)
    return _truncate(levels.mul_(255))
