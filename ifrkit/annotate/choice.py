"""Which frames to label next, out of what is known of each: one after the other, each with its reasons.

A frame is worth a label as far as it stands for frames that the model is unsure about and that no labeled frame
stands for: facility location (Wei et al., ICML 2015), weighted by uncertainty (as the information density of Settles
and Craven, EMNLP 2008). With few labels a choice by uncertainty, or of what looks newest, takes outliers: frames that
nothing else is like.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

_ROWS = 256
"""Distances to all other frames that are held at once."""


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
    """One choice. score: `stands_for` times `apart`; the other parts say how unsure the model is of the frame."""

    name: str
    score: float
    parts: dict[str, float]


def choose(candidates: Sequence[Seen], known: Sequence[Seen], count: int, spacing: float) -> list[Chosen]:
    """The next `count` frames, best first.

    known: frames that have a label, or will get one. spacing: frames of a video after which two count as apart.
    `stands_for` of frame j is sum_i u_i max(0, d_i - d_ij) / sum_i u_i d_i over all candidates i: u_i how unsure the
    model is of i (the mean of its ranks among the candidates, so that no measure drowns the others), d_i the distance
    of its feature to the nearest frame known or chosen, d_ij to frame j. `apart` is the distance in time to the nearest
    such frame of the same video, up to `spacing`.
    """
    if not candidates:
        return []
    ranks = {name: _ranks([getattr(c, name) for c in candidates]) for name in ("uncertain", "disagree", "unsteady")}
    told = {name: rank_n for name, rank_n in ranks.items() if rank_n is not None}
    unsure_n = np.mean(list(told.values()), axis=0) + 1e-3  # not 0: frames that are all alike still differ in place
    features_nc = np.stack([c.feature_c for c in candidates])
    widest = 2 * float(np.linalg.norm(features_nc - features_nc.mean(0), axis=1).max())  # no two are farther apart
    distance_n = np.full(len(candidates), max(widest, 1e-9))
    gap_n = np.full(len(candidates), np.inf)
    for other in known:
        _nearer(distance_n, gap_n, candidates, features_nc, other)
    chosen: list[Chosen] = []
    free = np.ones(len(candidates), np.bool_)
    while len(chosen) < min(count, len(candidates)):
        stands_for_n = _gained(unsure_n, distance_n, features_nc) / max(float(unsure_n @ distance_n), 1e-9)
        apart_n = np.minimum(gap_n / spacing, 1)
        score_n = stands_for_n * apart_n
        best = max(np.flatnonzero(free).tolist(), key=lambda row: (round(float(score_n[row]), 9), unsure_n[row], -row))
        free[best] = False
        parts = {**told, "stands_for": stands_for_n, "apart": apart_n}
        said = {name: round(float(part_n[best]), 3) for name, part_n in parts.items()}
        chosen.append(Chosen(candidates[best].name, round(float(score_n[best]), 3), said))
        _nearer(distance_n, gap_n, candidates, features_nc, candidates[best])
    return chosen


def _gained(
    unsure_n: NDArray[np.float64], distance_n: NDArray[np.float64], features_nc: NDArray[np.float32]
) -> NDArray[np.float64]:
    """sum_i u_i max(0, d_i - d_ij) of each frame j; some rows at a time, as long videos have many thousand clips."""
    gained_n = np.zeros(len(features_nc))
    for begin in range(0, len(features_nc), _ROWS):
        rows = slice(begin, begin + _ROWS)
        between_mn = cdist(features_nc[rows], features_nc)
        gained_n += unsure_n[rows] @ np.maximum(distance_n[rows, None] - between_mn, 0)
    return gained_n


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
