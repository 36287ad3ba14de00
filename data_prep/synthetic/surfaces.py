"""Textures of what the street is made of: ground, houses, greenery, sky. The four palette colours are named in each."""

from __future__ import annotations

import numpy as np

from data_prep.synthetic.atlas import Texture
from data_prep.synthetic.paint import CLEAR, FINE, Maker, Pen, Rng, box, clouds, draw, to_texture


def road(rng: Rng) -> Texture:
    """The whole carriageway across (128 texels) and 12 m along: asphalt, marking, patch, tar."""
    dash = rng.uniform(0.35, 0.6) * 128
    edge = rng.random() < 0.7
    lanes = int(rng.integers(1, 3))

    def paint(pen: Pen) -> None:
        for _ in range(int(rng.integers(1, 5))):
            x, y = rng.uniform(0, 110), rng.uniform(0, 100)
            box(pen, x, y, x + rng.uniform(8, 30), y + rng.uniform(6, 26), 2)
        for _ in range(int(rng.integers(1, 4))):
            xs = 4 * np.cumsum(np.concatenate([[rng.uniform(10, 118)], rng.normal(0, 3, 8)]))
            pen.line([(float(x), 64.0 * i) for i, x in enumerate(xs)], fill=3, width=3)
        for lane in range(1, 2 * lanes):
            x = 128 * lane / (2 * lanes)
            box(pen, x - 1.2, 0, x + 1.2, 128 if lane == lanes and rng.random() < 0.3 else dash, 1)
        if edge:
            box(pen, 3, 0, 5.5, 128, 1)
            box(pen, 122.5, 0, 125, 128, 1)

    grain = 1 + 0.07 * clouds(rng, 128, 128, 0.9)
    grain += 0.06 * np.cos(np.linspace(0, 2 * np.pi * 4, 128, dtype=np.float32))
    return draw(128, 128, 0, paint, grain)


def paving(rng: Rng) -> Texture:
    """Slabs: stone, joint, dark stone, kerb."""
    size = int(rng.choice([8, 16, 32]))

    def paint(pen: Pen) -> None:
        for y in range(0, 64, size):
            shift = size // 2 if (y // size) % 2 else 0
            for x in range(-size, 64, size):
                if rng.random() < 0.25:
                    box(pen, x + shift, y, x + shift + size, y + size, 2)
                box(pen, x + shift, y, x + shift + 1, y + size, 1)
            box(pen, 0, y, 64, y + 1, 1)

    return draw(64, 64, 0, paint, 1 + 0.06 * clouds(rng, 64, 64, 0.8))


def grass(rng: Rng) -> Texture:
    """Meadow or hedge seen from anywhere: light, dark, earth, blossom."""
    field = clouds(rng, 64 * FINE, 64 * FINE, 0.9)
    index = np.select([field < -0.4, field > 1.9], [1, 3], 0).astype(np.uint8)
    index[clouds(rng, 64 * FINE, 64 * FINE, 1.6) < -1.8] = 2
    return to_texture(index, 1 + 0.12 * clouds(rng, 64, 64, 0.7))


def facade(rng: Rng) -> Texture:
    """Four to five floors: wall, glass, trim, door and shop."""
    floors, bays = int(rng.integers(4, 6)), int(rng.integers(3, 7))
    height, width = 128 / floors, 128 / bays
    wide, tall = rng.uniform(0.35, 0.75), rng.uniform(0.45, 0.75)
    ribbon, shop, bricks = rng.random() < 0.2, rng.random() < 0.5, rng.random() < 0.4

    def window(pen: Pen, x: float, y: float) -> None:
        w, h = width * wide, height * tall
        left, top = x + (width - w) / 2, y + (height - h) / 2
        box(pen, left - 1, top - 1, left + w + 1, top + h + 1.5, 2)
        box(pen, left, top, left + w, top + h, 1)
        if not ribbon:
            box(pen, left + w / 2 - 0.4, top, left + w / 2 + 0.4, top + h, 2)

    def paint(pen: Pen) -> None:
        for floor in range(floors):
            y = 128 - (floor + 1) * height
            if floor == 0 and shop:
                box(pen, 0, y + height * 0.1, 128, y + height * 0.28, 3)
            if floor == 1:
                box(pen, 0, y + height - 1.5, 128, y + height, 2)
            for bay in range(bays):
                x = bay * width
                if floor:
                    window(pen, x, y)
                elif shop:
                    box(pen, x + 2, y + height * 0.35, x + width - 2, y + height * 0.92, 1)
                else:
                    box(pen, x + width * 0.3, y + height * 0.25, x + width * 0.7, y + height, 3 if bay % 2 else 1)
        if ribbon:
            for floor in range(1, floors):
                box(pen, 0, 128 - floor * height - height * 0.7, 128, 128 - floor * height - height * 0.3, 1)

    grain = 1 + 0.05 * clouds(rng, 128, 128, 1.0)
    if bricks:
        grain[::3] *= np.float32(0.88)
    return draw(128, 128, 0, paint, grain)


def tree(rng: Rng) -> Texture:
    """A ragged crown on a trunk: leaves, shade, trunk, sunlit leaves."""
    size = 64 * FINE
    y, x = np.mgrid[0:size, 0:size] / size * 2 - 1
    slim = rng.uniform(1.0, 1.7)
    core = 1 - np.hypot(x * slim, (y + 0.28) * 1.4) / 0.95
    rough = clouds(rng, size, size, 1.5)
    crown = core + 0.16 * rough > 0.05
    fill = clouds(rng, size, size, 1.2) - 1.2 * (y + 0.3) - 0.5 * x * rng.choice([-1, 1])
    index = np.where(crown, np.select([fill < -0.5, fill > 0.8], [1, 3], 0), CLEAR)
    trunk = (np.abs(x + 0.03 * np.sin(6 * y)) < 0.05 + 0.03 * (y > 0.8)) & (y > -0.2)
    index = np.where(trunk & ~crown, 2, index)
    return to_texture(index.astype(np.uint8), 1 + 0.12 * clouds(rng, 64, 64, 0.8))


def treeline(rng: Rng) -> Texture:
    """A ragged band for the horizon: leaves, shade, trunk, light."""
    top = 0.45 + 0.16 * clouds(rng, 1, 128 * FINE, 1.1)
    y = np.linspace(0, 1, 32 * FINE)[:, None]
    shade = clouds(rng, 32 * FINE, 128 * FINE, 1.2)
    index = np.where(y < top, CLEAR, np.select([shade < -0.5, shade > 1.0], [1, 3], 0))
    return to_texture(index.astype(np.uint8), 1 + 0.1 * clouds(rng, 32, 128, 0.8))


def skyline(rng: Rng) -> Texture:
    """Far houses side by side: wall, windows, roof, other wall."""

    def paint(pen: Pen) -> None:
        x = 0.0
        while x < 128:
            width, top = rng.uniform(6, 18), rng.uniform(3, 20)
            box(pen, x, top, x + width, 32, int(rng.choice([0, 3])))
            box(pen, x, top, x + width, top + 1.5, 2)
            for wx in np.arange(x + 1, x + width - 1, 2.5):
                for wy in np.arange(top + 3, 31, 4):
                    box(pen, wx, wy, wx + 1.2, wy + 2, 1)
            x += width

    return draw(128, 32, CLEAR, paint)


def sky(rng: Rng) -> Texture:
    """Elevation from the zenith (top row) to below the horizon: zenith, horizon, cloud, dark cloud."""
    height = np.linspace(1, 0, 64, dtype=np.float32)[:, None]
    haze = np.clip(1.15 - 1.6 * height, 0, 1) * np.ones((1, 128), np.float32)
    cover = np.clip(0.5 * clouds(rng, 64, 128, 1.6) + rng.uniform(-0.7, 0.9), 0, 1) * np.clip(height * 4, 0, 1)
    dark = np.clip(0.5 * clouds(rng, 64, 128, 1.5), 0, 1) * cover
    clear = 1 - cover
    return Texture(np.stack([clear * (1 - haze), clear * haze, cover - dark, dark], axis=2).astype(np.float32))


SURFACES: dict[str, tuple[Maker, int]] = {
    "sky": (sky, 6), "road": (road, 5), "paving": (paving, 4), "grass": (grass, 4), "facade": (facade, 12),
    "tree": (tree, 8), "treeline": (treeline, 3), "skyline": (skyline, 3),
}  # fmt: skip
"""Maker and number of variants of each kind."""
