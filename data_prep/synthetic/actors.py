"""Things that stand or move in the street, each a few planes: trees, poles, cars, people.

`at` is (x, z) on the ground in metres at frame 0, `velocity` (x, z) in metres a frame.
"""

from __future__ import annotations

import math

import numpy as np

from data_prep.synthetic import palettes
from data_prep.synthetic.planes import STILL, Doubles, Plane, Swing, Vector

Rng = np.random.Generator
Point = tuple[float, float]

CURB = 0.14
"""Height of the sidewalk above the road."""


def upright(
    label: str, texture: tuple[str, int], palette: Doubles, at: Point, size: tuple[float, float], *,
    lift: float = 0.0, flip: float = 1.0, velocity: Vector = (0.0, 0.0, 0.0), swing: Swing = STILL
) -> Plane:  # fmt: skip
    """A rectangle of (width, height) across the street, its foot's middle `lift` above `at`; flip -1 mirrors it."""
    width, height = size
    origin = (at[0] - flip * width / 2, -height - lift, at[1])
    return Plane(label, texture, palette, origin, (flip * width, 0, 0), (0, height, 0), velocity=velocity, swing=swing)


def tree(rng: Rng, at: Point, season: float) -> list[Plane]:
    """4 to 9 m tall."""
    height = rng.uniform(4, 9)
    kind = ("tree", int(rng.integers(99)))
    size = height * rng.uniform(0.6, 0.95), height
    return [upright("vegetation", kind, palettes.foliage(rng, season), at, size)]


def pole(rng: Rng, at: Point, towards: float) -> list[Plane]:
    """A lamp whose arm reaches towards the road (the sign of x), or a mast with a box."""
    variant, palette = int(rng.integers(99)), palettes.metal(rng)
    if rng.random() < 0.6:
        tall = rng.uniform(5, 7.5)
        return [upright("pole", ("lamp", variant), palette, at, (tall / 3, tall), flip=-towards)]
    tall = rng.uniform(2.8, 4.2)
    return [upright("pole", ("mast", variant), palette, at, (tall / 4, tall))]


def car(rng: Rng, at: Point, heading: float, speed: float) -> list[Plane]:
    """A box of shaped sides. heading: angle from the z axis towards x; at: middle of the footprint."""
    length, width, height = rng.uniform(3.6, 4.8), rng.uniform(1.65, 1.95), rng.uniform(1.38, 1.85)
    palette, variant = palettes.paint(rng), int(rng.integers(99))
    forward = np.array([math.sin(heading), 0.0, math.cos(heading)])
    right = np.array([forward[2], 0.0, -forward[0]])
    middle, down = np.array([at[0], -height, at[1]]), np.array([0.0, height, 0.0])
    velocity = forward * speed

    def face(kind: str, out: Doubles, along: Doubles, extent: float, away: float, tint: float) -> Plane:
        origin = middle + out * away - along * extent / 2
        return Plane("car", (kind, variant), palette * tint, _vector(origin), _vector(along * extent), _vector(down),
                     velocity=_vector(velocity), outward=_vector(out))  # fmt: skip

    planes = [face("car_side", side * right, -forward, length, width / 2, 0.92) for side in (-1.0, 1.0)]
    planes += [face("car_end", end * forward, right, width, length / 2 - 0.02, 1.0) for end in (-1.0, 1.0)]
    waist = 0.45 * height
    corner = middle + np.array([0.0, waist, 0.0]) - forward * length * 0.49 - right * width * 0.47
    planes.append(Plane("car", ("panel", 0), palette, _vector(corner), _vector(right * width * 0.94),
                        _vector(forward * length * 0.98), velocity=_vector(velocity)))  # fmt: skip
    return planes


def pedestrian(rng: Rng, at: Point, velocity: Point) -> list[Plane]:
    """Walks across (seen from the side, legs swing) or along the street (seen from the front or back)."""
    tall, palette = rng.uniform(1.5, 1.95), palettes.clothes(rng)
    moves = velocity[0], 0.0, velocity[1]
    variant = int(rng.integers(99))
    if abs(velocity[0]) <= abs(velocity[1]):
        return [upright("person", ("person_front", variant), palette, at, (tall * 0.44, tall), velocity=moves)]
    flip = math.copysign(1.0, velocity[0])
    rate, phase = abs(velocity[0]) * 3.6, rng.uniform(0, 2 * math.pi)
    hip = 0.5 * tall
    planes = [upright("person", ("person_side", variant), palette, at, (tall * 0.33, tall * 0.55),
                      lift=hip - 0.05 * tall, velocity=moves, flip=flip)]  # fmt: skip
    for k in (0, 1):
        step = Swing(0.45, rate, phase + math.pi * k)
        behind = (at[0], at[1] + 0.02 * (k + 1))
        planes.append(upright("person", ("leg", variant), palette * (1 - 0.25 * k), behind,
                              (tall * 0.16, hip), velocity=moves, swing=step, flip=flip))  # fmt: skip
    return planes


def _vector(array: Doubles) -> tuple[float, float, float]:
    return float(array[0]), float(array[1]), float(array[2])
