"""What a scene is made of: textured rectangles that move rigidly. Metres; x right, y down, z along the street."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_prep.synthetic.atlas import Atlas, Floats, Texture
from data_prep.synthetic.classes import CLASSES
from data_prep.synthetic.figures import FIGURES
from data_prep.synthetic.surfaces import SURFACES
from ifrkit.core.keyed import key_rng

Doubles = NDArray[np.float64]
Vector = tuple[float, float, float]

CLASS_ID = {name: k for k, name in enumerate(CLASSES)}


class Swing(NamedTuple):
    """A turn to and fro inside the rectangle's own plane, around its upper edge's middle (a leg around the hip)."""

    reach: float = 0.0
    """Radians."""
    rate: float = 0.0
    """Radians a frame."""
    phase: float = 0.0


STILL = Swing()


@dataclass(frozen=True)
class Plane:
    """The rectangle of points origin + a * across + b * down with a, b in [0, 1], at frame 0."""

    label: str
    texture: tuple[str, int]
    """Kind and variant; the variant wraps around."""
    palette: Doubles
    """(4, 3) RGB in [0, 1]: what the four weights of a texel stand for."""
    origin: Vector
    across: Vector
    down: Vector
    tiles: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0)
    """How often the texture repeats along (across, down), and where in it the origin lies."""
    velocity: Vector = (0.0, 0.0, 0.0)
    """Metres a frame."""
    swing: Swing = STILL
    outward: Vector | None = None
    """Seen from this side only."""
    endless: bool = False
    """At infinity: origin, across and down are directions."""


class Library(NamedTuple):
    """The atlas of all textures of a dataset seed, and where each kind begins and how many variants it has."""

    atlas: Atlas
    places: dict[str, tuple[int, int]]


def make_library(seed: int) -> Library:
    """Paint every texture; about half a second."""
    textures: list[Texture] = []
    places: dict[str, tuple[int, int]] = {}
    for kind, (make, count) in {**SURFACES, **FIGURES}.items():
        places[kind] = (len(textures), count)
        textures += [make(key_rng(seed, "synthetic", kind, k)) for k in range(count)]
    return Library(Atlas(textures), places)


@dataclass
class Planes:
    """The planes of one video as arrays, s planes long; plane 0 is the sky."""

    items: list[Plane]
    library: Library
    texture: NDArray[np.int64] = field(init=False)
    texels: Doubles = field(init=False)
    """(s, 3, 3): (a, b, 1) -> texel coordinates (u, v, 1)."""
    label: NDArray[np.uint8] = field(init=False)
    palette: Floats = field(init=False)
    normal: Doubles = field(init=False)
    cut_out: NDArray[np.bool_] = field(init=False)
    """(s,) whether the texture has a shape of its own."""
    texels_a_metre: Doubles = field(init=False)
    """(s,) downwards."""

    def __post_init__(self) -> None:
        items, (atlas, places) = self.items, self.library
        self.texture = np.array([places[p.texture[0]][0] + p.texture[1] % places[p.texture[0]][1] for p in items])
        self.label = np.array([CLASS_ID[p.label] for p in items], np.uint8)
        self.palette = np.array([p.palette for p in items], np.float32)
        size = 2.0 ** atlas.log_size[self.texture]
        tiles = np.array([p.tiles for p in items])
        self.texels = np.zeros((len(items), 3, 3))
        self.texels[:, [0, 1], [0, 1]] = size * tiles[:, :2]
        self.texels[:, :2, 2] = size * tiles[:, 2:]
        self.texels[:, 2, 2] = 1
        self._origin, self._across, self._down, self._velocity = (
            np.array([getattr(p, name) for p in items], np.float64) for name in ("origin", "across", "down", "velocity")
        )
        self._swing = np.array([p.swing for p in items], np.float64).T
        self.endless = np.array([p.endless for p in items])
        self.outward = np.array([p.outward or (0.0, 0.0, 0.0) for p in items])
        normal = np.cross(self._across, self._down)
        self.normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        self.cut_out = np.array([bool(atlas.shapes[k]) for k in self.texture])
        self.texels_a_metre = self.texels[:, 1, 1] / np.linalg.norm(self._down, axis=1)

    def pose(self, t: float) -> tuple[Doubles, Doubles, Doubles]:
        """origin, across and down of every plane at frame t, (s, 3) each."""
        reach, rate, phase = self._swing
        angle = reach * np.sin(rate * t + phase)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        wide = np.linalg.norm(self._across, axis=1, keepdims=True)
        high = np.linalg.norm(self._down, axis=1, keepdims=True)
        across = cos * self._across + sin * self._down * (wide / high)
        down = cos * self._down - sin * self._across * (high / wide)
        hip = self._origin + self._velocity * t + self._across / 2
        return hip - across / 2, across, down

    def cells(self, detail: NDArray[np.int64]) -> Doubles:
        """(s, 2) how many cells the shape has across and down after that many halvings; 1 for a whole rectangle."""
        log_size = self.library.atlas.log_size[self.texture]
        return np.where(self.cut_out[:, None], 2.0 ** (log_size - self._halvings(detail)[:, None]), 1.0)

    def shapes(self, detail: NDArray[np.int64]) -> list[NDArray[np.bool_] | None]:
        """The shapes at those levels of detail, with a margin of one cell; None for a whole rectangle."""
        levels = zip(self.texture.tolist(), self._halvings(detail).tolist(), strict=True)
        return [self.library.atlas.shapes[k][level] if self.library.atlas.shapes[k] else None for k, level in levels]

    def _halvings(self, detail: NDArray[np.int64]) -> NDArray[np.int64]:
        coarsest: NDArray[np.int64] = self.library.atlas.log_size[self.texture].min(1)
        return np.minimum(detail, coarsest)
