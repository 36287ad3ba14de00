"""Training batches of crops of cached maps: what `loader.py` draws of labeled clips, moved to the cells of the maps.

A mirrored crop comes from the maps of the mirror image, whose cells begin at the other side of the frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from ifrkit.artifacts.indexes import FeatureMap
from ifrkit.config.training import CropConfig
from ifrkit.core.records import Window
from ifrkit.data.loading.batch import RawBatch
from ifrkit.data.loading.loader import Sample, ViewItems, mirror
from ifrkit.data.loading.pools import Clips, pools_of
from ifrkit.data.loading.stream import Span, stream
from ifrkit.data.loading.views import Place, Reading, View
from ifrkit.data.store.features import CachedFeatures


def feature_batches(
    clips: Clips, views: Sequence[View], crop: CropConfig, span: Span, features: CachedFeatures
) -> Iterator[RawBatch]:
    """Micro-batches of a span in order, with "map0", "map1", ... (b, c, h, w) float16 among their extras, no images.

    crop: as `on_cells` gives it. Raises as `pools_of`.
    """
    return stream(_FeatureItems(clips, pools_of(clips, views, crop), crop, span, frozenset(), features))


def cell(maps: Sequence[FeatureMap]) -> int:
    """Pixels between two places where all maps begin a cell."""
    return math.lcm(*(m.stride for m in maps))


def on_cells(crop: CropConfig, size: tuple[int, int], maps: Sequence[FeatureMap]) -> CropConfig:
    """A crop of whole cells in frames of that (height, width), or the whole frame; neither scaled nor coloured."""
    step = cell(maps)
    height, width = (_extent(own, whole, step) for own, whole in zip(crop.size, size, strict=True))
    return replace(crop, size=(height, width), scale=(1.0, 1.0), jitter=0.0)


def _extent(part: int, whole: int, step: int) -> int:
    cells = step * max(1, round(part / step))
    return whole if part == whole or cells >= whole else cells


def _start(start: int, part: int, whole: int, step: int) -> int:
    """The nearest pixel where cells begin and such a crop fits. Only a whole frame may end in a part of a cell."""
    return 0 if part == whole else step * min(round(start / step), (whole - part) // step)


@dataclass
class _FeatureItems(ViewItems):
    features: CachedFeatures

    def read_view(self, sample: Sample, reading: Reading, view: View, place: Place, common: Window) -> None:
        """Maps and label of a crop. A class that it was drawn to show may be half a cell outside of it."""
        store, step = self.clips.store, cell(self.features.index.maps)
        (height, width), (h, w) = store.size, (common.height, common.width)
        y = _start(place.y, h, height, step)
        seen_x = _start(width - w - place.x if place.mirrored else place.x, w, width, step)
        x = width - w - seen_x if place.mirrored else seen_x
        sample.places[view.name] = place._replace(y=y, x=x)
        label = view.placement.label(reading, place.frame, Window(y, x, h, w))
        assert label is not None
        sample.labels[view.name] = mirror(label, place.mirrored)
        maps = self.features.maps(store.rows(reading.clip)[place.frame], place.mirrored)
        for number, (m, map_chw) in enumerate(zip(self.features.index.maps, maps, strict=True)):
            top, left = y // m.stride, seen_x // m.stride
            part = map_chw[:, top : top + -(-h // m.stride), left : left + -(-w // m.stride)]
            sample.extras[f"map{number}"] = np.ascontiguousarray(part)
