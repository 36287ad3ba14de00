"""Colours at random: palettes (4, 3) RGB in [0, 1], in the order that the textures name. No class owns a colour."""

from __future__ import annotations

import colorsys

import numpy as np

from data_prep.synthetic.planes import Doubles

Rng = np.random.Generator


def hsv(hue: float, saturation: float, value: float) -> Doubles:
    """One colour; hue in turns."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1)))


def asphalt(rng: Rng) -> Doubles:
    """Asphalt, marking, patch, tar."""
    hue, value = rng.choice([0.08, 0.6]) + rng.normal(0, 0.04), rng.uniform(0.24, 0.58)
    base = hsv(hue, rng.uniform(0, 0.14), value)
    marking = hsv(0.13, rng.choice([0.05, 0.5], p=[0.8, 0.2]), rng.uniform(0.75, 0.98))
    return np.stack([base, marking, base * rng.uniform(0.75, 1.2), base * 0.65])


def stone(rng: Rng) -> Doubles:
    """Slab, joint, other slab, kerb."""
    base = hsv(rng.uniform(0.0, 0.16), rng.uniform(0, 0.3), rng.uniform(0.36, 0.78))
    return np.stack([base, base * rng.uniform(0.6, 0.85), base * rng.uniform(0.8, 1.15), base * rng.uniform(0.8, 1.2)])


def house(rng: Rng) -> Doubles:
    """Wall, glass, trim, door or shop."""
    hue = rng.uniform(0, 0.15) if rng.random() < 0.7 else rng.random()
    wall = hsv(hue, rng.uniform(0.03, 0.5), rng.uniform(0.3, 0.9))
    glass = hsv(rng.uniform(0.5, 0.65), rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.5))
    trim = np.clip(wall * rng.choice([0.6, 1.35]), 0, 1)
    return np.stack([wall, glass, trim, hsv(rng.random(), rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.7))])


def foliage(rng: Rng, season: float) -> Doubles:
    """Leaves, shade, trunk or earth, light leaves. season: 0 green, 1 autumn."""
    hue = (1 - season) * rng.uniform(0.2, 0.36) + season * rng.uniform(0.04, 0.16)
    leaf = hsv(hue, rng.uniform(0.3, 0.7), rng.uniform(0.26, 0.5))
    trunk = hsv(rng.uniform(0.04, 0.1), rng.uniform(0.2, 0.5), rng.uniform(0.15, 0.35))
    return np.stack([leaf, leaf * rng.uniform(0.35, 0.65), trunk, np.clip(leaf * rng.uniform(1.2, 1.6), 0, 1)])


def heaven(rng: Rng) -> Doubles:
    """Zenith, horizon, cloud, dark cloud: clear, overcast or dusk."""
    kind = rng.choice(3, p=[0.45, 0.35, 0.2])
    if kind == 0:
        zenith, horizon = hsv(rng.uniform(0.55, 0.63), rng.uniform(0.35, 0.7), rng.uniform(0.65, 0.95)), 0.9
    elif kind == 1:
        zenith, horizon = hsv(rng.uniform(0.5, 0.7), rng.uniform(0, 0.1), rng.uniform(0.5, 0.85)), 0.85
    else:
        zenith, horizon = hsv(rng.uniform(0.6, 0.8), rng.uniform(0.15, 0.4), rng.uniform(0.35, 0.6)), 0.8
    low = hsv(rng.uniform(0.03, 0.12) if kind == 2 else 0.58, 0.35 if kind == 2 else rng.uniform(0, 0.15), horizon)
    cloud = np.clip(low * rng.uniform(0.95, 1.1), 0, 1)
    return np.stack([zenith, low, cloud, cloud * rng.uniform(0.6, 0.85)])


def paint(rng: Rng) -> Doubles:
    """Of a car: body, glass, tyres, lamps and trim."""
    grey = rng.random() < 0.5
    body = hsv(rng.random(), 0.05 if grey else rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.95))
    lamps = hsv(rng.choice([0.0, 0.1]), rng.choice([0.1, 0.8]), rng.uniform(0.6, 0.95))
    return np.stack([body, hsv(0.6, 0.2, rng.uniform(0.08, 0.35)), hsv(0, 0, 0.06), lamps])


def clothes(rng: Rng) -> Doubles:
    """Jacket, trousers, skin, hair and shoes."""
    jacket = hsv(rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.12, 0.9))
    trousers = hsv(rng.choice([0.6, 0.1, rng.random()]), rng.uniform(0, 0.5), rng.uniform(0.08, 0.6))
    skin = hsv(rng.uniform(0.04, 0.09), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.9))
    return np.stack([jacket, trousers, skin, hsv(0.07, rng.uniform(0, 0.6), rng.uniform(0.05, 0.5))])


def metal(rng: Rng) -> Doubles:
    """Of a pole: shaft, lamp or box, base or lens, band."""
    value = rng.uniform(0.15, 0.7)
    shaft = hsv(rng.choice([0.3, 0.6, 0.1]), rng.uniform(0, 0.3), value)
    return np.stack([shaft, hsv(0.12, 0.1, rng.uniform(0.15, 0.9)), shaft * 0.8, shaft * rng.uniform(0.7, 1.4)]).clip(
        0, 1
    )
