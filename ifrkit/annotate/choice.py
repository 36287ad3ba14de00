"""Which frames to label next, out of what is known of each: one after the other, each with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WEIGHTS = {"uncertain": 1.0, "disagree": 1.0, "unsteady": 1.0, "new": 2.0, "apart": 1.0}
"""Of the parts of a score, each from 0 to 1. Looking new counts twice: a choice by uncertainty alone takes the same
hard scene again and again."""


class Seen(NamedTuple):
    """What is known of a frame. Shares of its pixels; None where it cannot be known.

    uncertain: mean entropy of the prediction, 1: all classes are equally likely. disagree: where reference and update
    branch differ. unsteady: where the prediction of the frame before, carried along the flow, differs. feature_c: the
    mean feature of the branch. video, number: where it is, in frames.
    """

    name: str
    video: str
    number: int
    uncertain: float
    disagree: float | None
    unsteady: float | None
    feature_c: NDArray[np.float32]


class Chosen(NamedTuple):
    """One choice. score: the weighted mean of `parts`, each from 0 to 1."""

    name: str
    score: float
    parts: dict[str, float]


def choose(candidates: Sequence[Seen], known: Sequence[Seen], count: int, spacing: float) -> list[Chosen]:
    """The next `count` frames, best first.

    known: frames that have a label, or will get one. spacing: frames of a video after which two count as apart. Ranks
    among the candidates take the place of values, so that no part drowns the others. `new` is the distance to the
    nearest frame known or chosen, of the largest such distance; `apart` the same in time, up to `spacing`.
    """
    if not candidates:
        return []
    ranks = {name: _ranks([getattr(c, name) for c in candidates]) for name in ("uncertain", "disagree", "unsteady")}
    features_nc = np.stack([c.feature_c for c in candidates])
    distance_n = np.full(len(candidates), np.inf)
    gap_n = np.full(len(candidates), np.inf)
    for other in known:
        _nearer(distance_n, gap_n, candidates, features_nc, other)
    chosen: list[Chosen] = []
    free = np.ones(len(candidates), np.bool_)
    while len(chosen) < min(count, len(candidates)):
        parts = {name: rank_n for name, rank_n in ranks.items() if rank_n is not None}
        if np.isfinite(distance_n).all():
            parts["new"] = distance_n / max(float(distance_n[free].max()), 1e-9)
        parts["apart"] = np.minimum(gap_n / spacing, 1)
        total = sum(WEIGHTS[name] for name in parts)
        score_n = np.sum([WEIGHTS[name] / total * part_n for name, part_n in parts.items()], axis=0)
        best = int(np.where(free, score_n, -1).argmax())
        free[best] = False
        told = {name: round(float(part_n[best]), 3) for name, part_n in parts.items()}
        chosen.append(Chosen(candidates[best].name, round(float(score_n[best]), 3), told))
        _nearer(distance_n, gap_n, candidates, features_nc, candidates[best])
    return chosen


def _ranks(values: Sequence[float | None]) -> NDArray[np.float64] | None:
    """0 for the smallest value, 1 for the largest, equal ones alike; None where a value is missing."""
    if any(value is None for value in values):
        return None
    _, place = np.unique(np.array(values, np.float64), return_inverse=True)
    return place / max(int(place.max()), 1)


def _nearer(
    distance_n: NDArray[np.float64],
    gap_n: NDArray[np.float64],
    candidates: Sequence[Seen],
    features_nc: NDArray[np.float32],
    other: Seen,
) -> None:
    """Count one more frame as known, in place."""
    np.minimum(distance_n, np.linalg.norm(features_nc - other.feature_c, axis=1), out=distance_n)
    for row, candidate in enumerate(candidates):
        if candidate.video == other.video:
            gap_n[row] = min(gap_n[row], abs(candidate.number - other.number))
