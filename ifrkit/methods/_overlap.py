"""Two crops of one frame: where the second one lies, and what part of both maps they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ifrkit.core.errors import ConfigError
from ifrkit.data.loading.views import Draw, Place, Placement, View

if TYPE_CHECKING:
    import numpy as np

TRIES = 50
LEAST_SHARED = 0.1
"""Of the union of both windows."""


@dataclass(frozen=True)
class Overlapping(Placement):
    """Another window of that view's frame, moved by multiples of 8 pixels of the crop, which shares a part with it.

    After `TRIES` draws without success it is the same window. It is mirrored or not on its own.
    scale: the frame of both is enlarged by a factor from this range, every factor as likely. pooled: maps of the
    network are pooled by this before they are compared.
    """

    of: str
    scale: tuple[float, float] = (1.0, 1.0)
    pooled: int = 1

    def enlarged(self, rng: np.random.Generator) -> float:
        low, high = self.scale
        return low if low == high else float(rng.uniform(low, high))

    def require(self, stride: int) -> None:
        """Views that lie a multiple of 8 pixels apart share the pixels of maps whose stride divides 8."""
        if 8 % (stride * self.pooled):
            apart = stride * self.pooled
            fault = f"overlapping views lie a multiple of 8 pixels apart, the maps of this network {apart}"
            raise ConfigError(fault, "use a stride of 8 (update.stride, reference.stride)")

    def draw(self, view: View, draw: Draw) -> Place:
        rng, own = draw.key.rng("overlap", view.name), draw.places[self.of]
        place, window = draw.place(view, own.frame), draw.window
        step = 8 / draw.scale  # 8 pixels of the crop, in the stored frame
        spans = (draw.size[0], window.height, own.y), (draw.size[1], window.width, own.x)
        offsets = [(-int(start // step), int((whole - part - start) // step)) for whole, part, start in spans]
        for _ in range(TRIES):
            dy, dx = (round(step * int(rng.integers(low, high + 1))) for low, high in offsets)
            shared = max(0, window.height - abs(dy)) * max(0, window.width - abs(dx))
            if shared >= LEAST_SHARED * (2 * window.height * window.width - shared):
                return place._replace(y=own.y + dy, x=own.x + dx)
        return place


def overlap(
    first: Place, second: Place, size: Sequence[int], stride: int = 8
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of the shared part on both maps (h, w) at 1/stride, mirrored maps turned back."""
    parts = []
    for dim, (a, b) in enumerate(((first.y, second.y), (first.x, second.x))):
        # In an enlarged frame the distance was rounded to whole stored pixels.
        shift = 8 * round((b - a) * first.scale / 8) // stride
        length = size[dim] - abs(shift)
        parts.append((slice(max(shift, 0), max(shift, 0) + length), slice(max(-shift, 0), max(-shift, 0) + length)))
    (rows_1, rows_2), (columns_1, columns_2) = parts
    return (rows_1, columns_1), (rows_2, columns_2)
