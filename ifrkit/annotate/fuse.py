"""What labels from both sides and a network say together about one frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ifrkit.annotate.carry import Carried, Map
from ifrkit.core.records import IGNORE, Label

_MOST = 0.999
"""No single voice is surer than this."""


def fused(carried: Sequence[Carried], network_khw: NDArray[np.float32] | None, classes: int) -> tuple[Label, Map]:
    """Class ids (255: unknown) and their probability, as independent voices give it by Bayes' rule.

    A carried label of confidence c says: probability c for its class, the rest spread evenly over all. network_khw:
    probabilities, or None where no network speaks; then pixels that no label reaches are unknown.
    """
    height, width = carried[0].ids_hw.shape if carried else network_khw.shape[1:]  # type: ignore[union-attr]
    score_khw = np.zeros((classes, height, width), np.float32)
    known_hw = np.zeros((height, width), np.bool_)
    if network_khw is not None:
        score_khw += np.log(network_khw.clip(1e-6, 1))
        known_hw[:] = True
    for voice in carried:
        here = voice.ids_hw != IGNORE
        known_hw |= here
        c = voice.confidence_hw.clip(0, _MOST)
        gain_hw = np.log1p(classes * c / (1 - c)).astype(np.float32)
        y, x = np.nonzero(here)
        score_khw[voice.ids_hw[here], y, x] += gain_hw[here]
    score_khw -= score_khw.max(0)
    ids_hw = score_khw.argmax(0).astype(np.uint8)
    confidence_hw = 1 / np.exp(score_khw).sum(0)
    ids_hw[~known_hw] = IGNORE
    return ids_hw, np.where(known_hw, confidence_hw, 0).astype(np.float32)
