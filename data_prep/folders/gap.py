"""A stretch of time between held-out frames and training."""

from __future__ import annotations

import numpy as np

from data_prep.folders.cut import Owners


def keep_away(owners: Owners, gap: int) -> Owners:
    """The same splits, but no clip of training may have a frame within `gap` frames of held-out ones."""
    held = np.array([owner in ("val", "test") for owner in owners])
    if not gap or not held.any():
        return owners
    near = np.convolve(held, np.ones(2 * gap + 1), "full")[gap : gap + len(held)] > 0
    return ["gap" if close and owner in ("train", None) else owner for owner, close in zip(owners, near, strict=True)]
