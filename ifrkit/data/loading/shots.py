"""Which frames of a clip make a sample for flow and for stage two, and which clips have them. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ifrkit.core.errors import ConfigError
from ifrkit.data.store.clips import ClipStore

ClipMode = Literal["fixed", "uniform", "drawn", "pairs", "truth"]


@dataclass(frozen=True)
class Shot:
    """Which frames of a clip make a sample; they share one crop (height, width) and are not mirrored.

    fixed: the annotated frame with its label, and the `distance` frames before it; a clip with fewer of them repeats
    its first frame. uniform: the same with a distance drawn from 0..distance, one for a whole step. drawn: only
    `frames` frames, the annotated one and others that are drawn from the `distance` frames before it, in order. These
    three with `annotated` off: up to any frame of the clip, without a label; clips are drawn with replacement.
    pairs: two frames 1..distance apart in either order, no label. truth: two neighbours in either order with the exact
    flow of the second to the first. Their clips are drawn with replacement from those with several frames.
    """

    mode: ClipMode
    crop: tuple[int, int]
    distance: int = 1
    frames: int = 2
    annotated: bool = True

    @property
    def is_run(self) -> bool:
        """Whether it is a run of frames up to a last one, not a pair."""
        return self.mode in ("fixed", "uniform", "drawn")


def usable_clips(store: ClipStore, clips: Sequence[int], shot: Shot, key: str = "crop") -> list[int]:
    """Those clips that have the frames. key: of the crop in the config.

    Raises ConfigError for a crop that is larger than the frames, and if no clip serves.
    """
    store.check_crop(shot.crop, key)
    if shot.is_run:
        usable = [clip for clip in clips if not shot.annotated or store.clips[clip].annotated is not None]
    else:
        usable = [clip for clip in clips if len(store.clips[clip].frames) > 1]
    if not usable:
        raise ConfigError(f"no clip has the frames that {shot.mode!r} batches need", "prepare other or longer clips")
    if shot.mode == "truth" and not store.has_flow:
        raise ConfigError(f"{store.path} has no exact flow", "use --set supervision=photometric")
    return usable
