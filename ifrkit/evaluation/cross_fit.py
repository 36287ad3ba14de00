"""Temperatures for judging on the split that the model's own temperature was fitted on.

Its clips are cut into groups of whole videos, one video into two halves in time. The confidences of a group are judged
by the temperature that is fitted on all other groups, as training fits the model's own on all of them (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ifrkit.data.store.clips import ClipStore
from ifrkit.train.calibration import fit, sampled, spread, together

GROUPS = 5
"""At most: each takes a fit."""
PIXELS = 1024
"""Of each frame: a quarter of what training looks at, as there are several fits."""


def groups(store: ClipStore) -> dict[int, int]:
    """Val clip -> the number of its group; empty where there is nothing to cut."""
    clips = store.clips_of("val")
    videos = list(dict.fromkeys(store.clips[clip].video for clip in clips))
    if len(videos) > 1:
        count = min(GROUPS, len(videos))
        number = {video: place * count // len(videos) for place, video in enumerate(videos)}
        return {clip: number[store.clips[clip].video] for clip in clips}
    return {clip: 2 * place // len(clips) for place, clip in enumerate(clips)} if len(clips) > 1 else {}


def temperatures_of_others(store: ClipStore, logits: Callable[[int, int], Tensor]) -> dict[int, float]:
    """Val clip -> the temperature that is fitted on the frames of all other groups.

    logits: (clip, position) -> (1, k, h, w) of the frame at its own size. Empty where a group has no others to fit on.
    """
    group_of = groups(store)
    if not group_of:
        return {}
    seen = [(group_of[place[0]], sampled(store, place, logits, PIXELS)) for place in spread(store)]
    found = {}
    for group in set(group_of.values()):
        others = [sample for own, sample in seen if own != group]
        value = fit(*together(others)) if others else None
        if value is None:
            return {}
        found[group] = value
    return {clip: found[group] for clip, group in group_of.items()}
