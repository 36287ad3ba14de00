"""Which clips the samples of a training are drawn from, and what refuses them. No torch here: a dry run asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ifrkit.config.training import CropConfig
from ifrkit.core.errors import ConfigError
from ifrkit.data.loading.views import Copy, Frames, LabelSource, View, fits
from ifrkit.data.store.clips import ClipStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Clips:
    """What samples are drawn from.

    labeled, unlabeled: numbers of clips of the store. one_frame: of an unlabeled clip only the annotated frame is
    shown. sources: where placements find labels beside the dataset's, by kind of their artifact. pixels_ck: labeled
    pixels of each labeled clip and class, which `crop.rare` needs.
    """

    store: ClipStore
    labeled: Sequence[int]
    unlabeled: Sequence[int]
    one_frame: bool = False
    sources: Mapping[str, LabelSource] = field(default_factory=dict)
    pixels_ck: NDArray[np.int64] | None = None

    def frames(self, pool: str, clip: int) -> Frames:
        """The frames of a clip that views of this pool may show."""
        record = self.store.clips[clip]
        if pool == "labeled" or not self.one_frame:
            return Frames(range(len(record.frames)), record.annotated)
        return Frames(() if record.annotated is None else (record.annotated,), record.annotated)


@dataclass
class Pool:
    """Clips to draw from, and the views of one of them that make a sample."""

    clips: list[int]
    views: list[View]


def pools_of(clips: Clips, views: Sequence[View], crop: CropConfig) -> dict[str, Pool]:
    """The clips that serve, by pool, each with its views.

    Raises ConfigError for a crop that is larger than the frames, and for views that the clips cannot serve.
    """
    clips.store.check_crop(crop.size, "crop.size")
    pools = {}
    for pool, numbers in (("labeled", clips.labeled), ("unlabeled", clips.unlabeled)):
        own = [view for view in views if view.pool == pool]
        if own:
            pools[pool] = Pool(_usable(clips, pool, numbers, own), own)
    return pools


def _usable(clips: Clips, pool: str, numbers: Sequence[int], views: list[View]) -> list[int]:
    """Clips with all the frames that the views want. No labeled clip may be left out; unlabeled ones may."""
    usable = [clip for clip in numbers if fits(views, clips.frames(pool, clip))]
    if not usable or (pool == "labeled" and len(usable) < len(numbers)):
        short = next((clips.store.clips[clip].name for clip in numbers if clip not in usable), None)
        wanted = ", ".join(
            f"{view.name}: {type(view.placement).__name__.lower()}"
            for view in views
            if not isinstance(view.placement, Copy)
        )
        fault = f"{pool} clip {short} lacks frames for the views {wanted}" if short else "no clips to draw from"
        raise ConfigError(fault, "prepare longer clips, or choose others")
    return usable
