"""One synthetic video: frames, labels and flow at any frame number, in any order."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from data_prep.synthetic.atlas import Floats
from data_prep.synthetic.camera import View, look
from data_prep.synthetic.planes import Library, Planes, make_library
from data_prep.synthetic.render import Buffer, motion, rasterise, shade
from data_prep.synthetic.scene import Street
from data_prep.synthetic.weather import make_weather
from ifrkit.core.keyed import key_rng
from ifrkit.core.records import Frame, Label, TrueFlow

RECENT = 4
"""Views kept: flow needs two, and sequential reading asks for each again."""


class Video:
    """A pure function of its arguments. length: frames that will be asked for (the street is as long)."""

    def __init__(self, seed: int, split: str, number: int, *, length: int, size: tuple[int, int], noise: float) -> None:
        self.length = length
        self.size = size
        self.noise = noise
        self._key = (seed, "synthetic", split, number)
        street = Street(key_rng(*self._key, "street"), length, *size)
        self.camera = street.camera
        self.planes = Planes(street.planes, _library(seed))
        self.weather = make_weather(key_rng(*self._key, "weather"), street.heaven)
        self._views: dict[int, tuple[View, Buffer]] = {}

    def frame(self, t: int) -> Frame:
        """What the camera records at frame t: lit, hazy, noisy."""
        clean = self.clean(t)
        if self.noise:
            clean += _noise(key_rng(*self._key, "noise", t), clean, self.noise / 255)
        clean *= np.float32(255)
        clean += np.float32(0.5)
        return np.ascontiguousarray(np.moveaxis(clean.clip(0, 255).astype(np.uint8), 0, 2))

    def clean(self, t: int, weather_of: int | None = None) -> Floats:
        """(3, h, w) in about [0, 1] without noise; with the weather of another frame, on request."""
        view, buffer = self.view(t)
        hour = t if weather_of is None else weather_of
        colours = shade(self.planes, view, buffer, self.weather.light(self.planes, hour))
        density, haze = self.weather.haze(hour)
        near = np.maximum(buffer.nearness_hw, np.float32(1e-4))
        through = np.where(buffer.plane_hw == 0, np.float32(1), np.exp(-np.float32(density) / near))
        colours -= haze[:, None, None]
        colours *= through
        colours += haze[:, None, None]
        return colours

    def label(self, t: int) -> Label:
        """Exact class ids."""
        return self.planes.label[self.view(t)[1].plane_hw]

    def flow(self, t: int, other: int) -> TrueFlow:
        """Exact flow from frame t to another."""
        (view, buffer), (other_view, other_buffer) = self.view(t), self.view(other)
        return TrueFlow(*motion(view, other_view, buffer, other_buffer))

    def view(self, t: int) -> tuple[View, Buffer]:
        """Geometry of frame t."""
        if t not in self._views:
            while len(self._views) >= RECENT:
                self._views.pop(next(iter(self._views)))
            view = look(self.camera, self.planes, t)
            self._views[t] = view, rasterise(self.planes, view, *self.size)
        return self._views[t]


def _noise(rng: np.random.Generator, clean: Floats, deviation: float) -> Floats:
    """Sensor noise, stronger where it is bright. The sum of four random bytes is close to Gaussian, and fast."""
    octets = rng.integers(0, 256, (4, *clean.shape), np.uint8).sum(0, dtype=np.uint16)
    grain: Floats = octets.astype(np.float32) - np.float32(4 * 127.5)
    grain *= np.float32(deviation / math.sqrt(4 * (256**2 - 1) / 12))
    grain *= np.float32(0.6) + np.float32(0.8) * clean
    return grain


@lru_cache(maxsize=2)
def _library(seed: int) -> Library:
    return make_library(seed)
