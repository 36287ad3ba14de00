"""How textures are drawn: with Pillow at four times the size, as index images of four palette colours and CLEAR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data_prep.synthetic.atlas import PALETTE, Floats, Texture

CLEAR = 9
"""Index of what is cut out of the plane."""
FINE = 4
"""Drawn pixels per texel and axis."""

Rng = np.random.Generator
Pen = ImageDraw.ImageDraw
Maker = Callable[[Rng], Texture]


def clouds(rng: Rng, height: int, width: int, roughness: float = 1.0) -> Floats:
    """Periodic noise with spectrum 1 / frequency ** roughness, mean 0, deviation 1."""
    fy, fx = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * width
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) / frequency**roughness, (height, width))
    scaled: Floats = (noise / noise.std()).astype(np.float32)
    return scaled


def to_texture(index: NDArray[np.uint8], shade: Floats) -> Texture:
    """Averages an index image down to texels; a texel on an edge of the shape takes its colour from inside."""
    height, width = shade.shape
    blocks = index.reshape(height, FINE, width, FINE)
    shares = np.stack([(blocks == k).mean((1, 3), dtype=np.float32) for k in range(PALETTE)], axis=2)
    alpha = shares.sum(2)
    mean = shares.sum((0, 1)) / max(float(alpha.sum()), 1e-6)
    colours = np.where(alpha[..., None] > 0.02, shares / np.maximum(alpha, 0.02)[..., None], mean)
    weights = (colours * shade[..., None]).astype(np.float32)
    return Texture(weights, None if (alpha > 0.999).all() else alpha)


def draw(width: int, height: int, ground: int, paint: Callable[[Pen], None], shade: Floats | None = None) -> Texture:
    """A texture of that many texels: `paint` draws over the colour `ground`; shade multiplies, 1 by default."""
    image = Image.new("L", (width * FINE, height * FINE), ground)
    paint(ImageDraw.Draw(image))
    return to_texture(np.asarray(image), np.ones((height, width), np.float32) if shade is None else shade)


def box(pen: Pen, x0: float, y0: float, x1: float, y1: float, fill: int) -> None:
    """A rectangle in texels; empty when turned inside out."""
    if x1 > x0 and y1 > y0:
        pen.rectangle((x0 * FINE, y0 * FINE, x1 * FINE - 1, y1 * FINE - 1), fill=fill)
