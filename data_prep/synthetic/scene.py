"""A street at random: ground, houses, greenery, furniture, traffic, camera. A pure function of its generator."""

from __future__ import annotations

import math

import numpy as np

from data_prep.synthetic import palettes
from data_prep.synthetic.actors import CURB, car, pedestrian, pole, tree, upright
from data_prep.synthetic.camera import Camera
from data_prep.synthetic.planes import Doubles, Plane

Rng = np.random.Generator
BEGIN, BEYOND = -12.0, 95.0
"""The street reaches from BEGIN to BEYOND metres past the camera's last place."""


class Street:
    """Lays out one video. `planes` begins with the sky; `camera` drives along +z for `length` frames.

    Metres: the lanes' middles run at x = +-lane, the kerbs at +-half; side streets leave at z = gaps[side].
    """

    def __init__(self, rng: Rng, length: int, height: int, width: int) -> None:
        self.rng = rng
        self.length = length
        self.parking = rng.random() < 0.6
        self.lane = rng.uniform(1.6, 2.4)
        self.half = 2 * self.lane + (2.1 if self.parking else rng.uniform(0, 1))
        self.walk = rng.uniform(2.0, 4.5)
        self.drive_side = 1.0 if rng.random() < 0.7 else -1.0
        self.season = float(np.clip(rng.normal(0.05, 0.3), 0, 1))
        self.green = rng.uniform(0.1, 0.9)
        self.camera = self._camera(length, height, width)
        self.travel = self.camera.speed * length
        self.end = self.travel + BEYOND
        self.gaps = {side: [rng.uniform(12, 60)] if rng.random() < 0.6 else [] for side in (-1.0, 1.0)}
        self.planes: list[Plane] = []
        self._sky_and_horizon()
        self._ground()
        for side in (-1.0, 1.0):
            self._houses(side)
            self._furniture(side)
            if self.parking:
                self._parked(side)
        self._traffic()
        self._people()

    def _camera(self, length: int, height: int, width: int) -> Camera:
        rng = self.rng
        reach = (0.12, 0.03, 0.012, 0.006, 0.006)
        sway = tuple((r * rng.uniform(0.4, 1.6), rng.uniform(0.15, 0.7), rng.uniform(0, 2 * math.pi)) for r in reach)
        turn = rng.normal(0, 0.06) / max(length, 10)
        return Camera(
            height, width,
            focal=rng.uniform(0.7, 0.95),
            start=(self.drive_side * self.lane * rng.uniform(0.75, 1.25), -rng.uniform(1.2, 1.75), 0.0),
            speed=rng.uniform(0.15, 0.75),
            turn=turn,
            heading=-turn * length / 2 + rng.normal(0, 0.05),
            sway=sway,
            pitch=rng.normal(-0.01, 0.03),
        )  # fmt: skip

    def _variant(self) -> int:
        return int(self.rng.integers(99))

    def _sky_and_horizon(self) -> None:
        rng = self.rng
        self.heaven = palettes.heaven(rng)
        self.planes.append(
            Plane("sky", ("sky", self._variant()), self.heaven, (-2.0, -1.0, 1.0), (4.0, 0, 0), (0, 1.1, 0),
                  (1.0, 1.0, rng.random(), 0.0), endless=True)
        )  # fmt: skip
        for k in (-1, 0, 1):
            if rng.random() < 0.6:
                self._horizon("building", "skyline", palettes.house(rng), k, self.end + 60, rng.uniform(14, 40))
            self._horizon(
                "vegetation", "treeline", palettes.foliage(rng, self.season), k, self.end + 40, rng.uniform(8, 22)
            )

    def _horizon(self, label: str, kind: str, palette: Doubles, k: int, z: float, high: float) -> None:
        self.planes.append(upright(label, (kind, self._variant()), palette, (k * 150.0, z), (150.0, high)))

    def _flat(
        self, label: str, kind: str, palette: Doubles, x: tuple[float, float], z: tuple[float, float],
        level: float, tile: tuple[float, float]
    ) -> Plane:  # fmt: skip
        """A horizontal rectangle `level` metres above the road; a texture's width and height cover `tile` metres."""
        wide, deep = x[1] - x[0], z[1] - z[0]
        tiles = (wide / tile[0], deep / tile[1], self.rng.random() if wide > tile[0] else 0.0, self.rng.random())
        return Plane(label, (kind, self._style[kind]), palette, (x[0], -level, z[0]), (wide, 0, 0), (0, 0, deep), tiles)

    def _ground(self) -> None:
        rng, half, walk = self.rng, self.half, self.walk
        self._style = {kind: self._variant() for kind in ("road", "paving", "grass", "panel")}
        asphalt, stone, meadow = palettes.asphalt(rng), palettes.stone(rng), palettes.foliage(rng, self.season)
        far = self.end + 50
        bare = asphalt.copy()
        bare[1:] = asphalt[[0, 2, 3]]
        self.planes.append(self._flat("road", "road", bare, (-70, 70), (BEGIN, far), -0.04, (9.0, 9.0)))
        self.planes.append(self._flat("road", "road", asphalt, (-half, half), (BEGIN, far), 0, (2 * half, 12.0)))
        for side in (-1.0, 1.0):
            begin = BEGIN
            for crossing in [*self.gaps[side], far]:
                inner, outer, lawn = side * half, side * (half + walk), side * 70
                span = begin, crossing
                tile = rng.uniform(1.5, 2.5)
                for label, kind, palette, (x0, x1), level, size in (
                    ("sidewalk", "paving", stone, sorted((inner, outer)), CURB, (tile, tile)),
                    ("vegetation", "grass", meadow, sorted((outer, lawn)), CURB + 0.02, (3.0, 3.0)),
                ):
                    self.planes.append(self._flat(label, kind, palette, (x0, x1), span, level, size))
                self.planes.append(
                    Plane("sidewalk", ("panel", 0), stone[[3, 3, 3, 3]] * 0.85, (inner, -CURB, span[0]),
                          (0, 0, span[1] - span[0]), (0, CURB, 0))
                )  # fmt: skip
                begin = crossing + rng.uniform(6, 9)

    def _houses(self, side: float) -> None:
        rng = self.rng
        z = BEGIN + rng.uniform(0, 8)
        line = self.half + self.walk + rng.uniform(0, 2.5)
        while z < self.end:
            long = rng.uniform(8, 22)
            if any(z - 1 < gap + 10 and z + long > gap - 1 for gap in self.gaps[side]):
                z += 4.0
                continue
            if rng.random() < 1 - 0.55 * self.green:
                self._house(side, line + rng.uniform(0, 1.2), z, long)
            else:
                self._garden(side, line, z, long)
            z += long + (rng.uniform(1, 5) if rng.random() < 0.4 * self.green else 0.0)

    def _house(self, side: float, x: float, z: float, long: float) -> None:
        rng = self.rng
        floors = int(rng.integers(2, 5))
        storey = rng.uniform(2.9, 3.8)
        high, tall = floors * storey, 4.5 * storey
        kind, palette = ("facade", self._variant()), palettes.house(rng)
        bay = rng.uniform(10, 16)
        share = min(high / tall, 1.0)
        front, flank = (long / bay, share, rng.random(), 1 - share), (8 / bay, share, rng.random(), 1 - share)
        self.planes.append(
            Plane("building", kind, palette, (side * x, -high, z), (0, 0, long), (0, high, 0), front)
        )  # fmt: skip
        self.planes.append(
            Plane("building", kind, palette, (side * x, -high, z), (side * 9.0, 0, 0), (0, high, 0), flank)
        )  # fmt: skip

    def _garden(self, side: float, x: float, z: float, long: float) -> None:
        rng = self.rng
        high = rng.uniform(0.8, 2.2)
        palette = palettes.foliage(rng, self.season)
        self.planes.append(
            Plane("vegetation", ("grass", self._variant()), palette, (side * x, -high, z), (0, 0, long), (0, high, 0),
                  (long / 3, high / 3, rng.random(), 0.0))
        )  # fmt: skip
        for _ in range(int(rng.integers(1, 4))):
            self.planes += tree(rng, (side * (x + rng.uniform(1.5, 6)), z + rng.uniform(0, long)), self.season)

    def _furniture(self, side: float) -> None:
        """Street trees, lamps and masts along the kerb."""
        rng = self.rng
        x = side * (self.half + 0.6)
        z = rng.uniform(4, 12)
        while z < self.end * 0.8:
            if rng.random() < 0.2 + 0.5 * self.green:
                self.planes += tree(rng, (x + side * rng.uniform(0, 1), z), self.season)
            else:
                self.planes += pole(rng, (x, z), -side)
            z += rng.uniform(4, 12)

    def _parked(self, side: float) -> None:
        rng = self.rng
        heading = 0.0 if side == self.drive_side else math.pi
        z = rng.uniform(6, 20)
        while z < self.travel + 45:
            if rng.random() < 0.6 and not any(gap - 4 < z < gap + 11 for gap in self.gaps[side]):
                self.planes += car(rng, (side * (self.half - 1.1), z), heading, 0.0)
            z += rng.uniform(5.5, 14)

    def _traffic(self) -> None:
        """Cars ahead, which stay ahead, and cars that come towards the camera all along."""
        rng, lane = self.rng, self.drive_side * self.lane
        z = rng.uniform(9, 22)
        for _ in range(int(rng.integers(1, 3))):
            slower = min(0.15, (z - 8) / self.length)
            self.planes += car(rng, (lane, z), 0.0, self.camera.speed + rng.uniform(-slower, 0.25))
            z += rng.uniform(9, 25)
        z, speed = rng.uniform(10, 30), rng.uniform(0.2, 0.7)
        while z < self.travel + speed * self.length + 40:
            self.planes += car(rng, (-lane, z), math.pi, speed)
            z += rng.uniform(8, 40)

    def _people(self) -> None:
        """On the sidewalks along the street, and across it; the first one always near."""
        rng = self.rng
        z = self.travel / 2 + rng.uniform(7, 12)
        crowd = rng.uniform(2, 6)
        while z < self.travel + 45:
            side = rng.choice([-1.0, 1.0])
            if rng.random() < 0.35:
                x, velocity = rng.uniform(-1, 1) * (self.half + 1), (-side * rng.uniform(0.06, 0.16), 0.0)
            else:
                x = side * (self.half + rng.uniform(0.4, 0.9) * self.walk)
                velocity = (0.0, rng.choice([-1, 1]) * rng.uniform(0.04, 0.13))
            self.planes += pedestrian(rng, (x, z), velocity)
            z += rng.exponential(crowd)
