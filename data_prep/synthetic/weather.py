"""Light, haze and sensor: different in every video, and drifting inside one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.atlas import Floats
from data_prep.synthetic.planes import Doubles, Planes

Rng = np.random.Generator


@dataclass(frozen=True)
class Weather:
    """What turns palettes into colours. Drifts are (reach, rate, phase) of a slow oscillation over frames."""

    exposure: float
    sun: Doubles
    """(3,) unit vector towards the sun."""
    shine: float
    """Share of direct light, 0 overcast to 0.6 full sun."""
    tint: Doubles
    """(3,) colour of the light."""
    fog: float
    """1 / m."""
    fog_colour: Doubles
    drifts: tuple[tuple[float, float, float], ...]
    """Of log exposure, shine, warmth and log fog."""

    def light(self, planes: Planes, t: float) -> Floats:
        """Palettes (s, 4, 3) as lit at frame t."""
        brighter, sunnier, warmer, _ = self._drift(t)
        shine = np.clip(self.shine + sunnier, 0, 0.8)
        facing = np.abs(planes.normal @ self.sun)
        lit = np.where(planes.endless, 1.0, 1 - shine + 1.5 * shine * facing)
        tint = self.tint * np.array([1 + warmer, 1.0, 1 - warmer]) * self.exposure * math.exp(brighter)
        colours: Floats = (planes.palette * lit[:, None, None] * tint).astype(np.float32)
        return colours

    def haze(self, t: float) -> tuple[float, Floats]:
        """Density in 1 / m and colour (3,) at frame t."""
        brighter, _, warmer, denser = self._drift(t)
        tint = self.tint * np.array([1 + warmer, 1.0, 1 - warmer]) * self.exposure * math.exp(brighter)
        return self.fog * math.exp(denser), (self.fog_colour * tint).astype(np.float32)

    def _drift(self, t: float) -> list[float]:
        return [reach * math.sin(rate * t + phase) for reach, rate, phase in self.drifts]


def make_weather(rng: Rng, heaven: Doubles) -> Weather:
    """At random, for a sky of that palette; drifts run about a third of their period in ten frames."""
    azimuth, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(0.25, 1.2)
    flat = math.cos(elevation)
    sun = np.array([flat * math.cos(azimuth), -math.sin(elevation), flat * math.sin(azimuth)])
    warmth = rng.normal(0, 0.07)
    drifts = tuple(
        (reach * rng.uniform(0.5, 1.5), rng.uniform(0.1, 0.3), rng.uniform(0, 2 * math.pi))
        for reach in (0.12, 0.12, 0.04, 0.35)
    )
    return Weather(
        exposure=rng.uniform(0.62, 1.12),
        sun=sun,
        shine=rng.uniform(0, 0.6),
        tint=np.array([1 + warmth, 1.0, 1 - warmth]),
        fog=math.exp(rng.uniform(math.log(0.0015), math.log(0.016))),
        fog_colour=heaven[1] * rng.uniform(0.85, 1.0),
        drifts=drifts,
    )
