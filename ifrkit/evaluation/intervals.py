"""Intervals of any metric of one model: whole videos are drawn with replacement, and their counts summed again."""

from __future__ import annotations

import numpy as np

from ifrkit.evaluation.bootstrap import LEVEL
from ifrkit.evaluation.records import Records
from ifrkit.evaluation.scores import Headlines

RESAMPLES = 1000
FEW = 6
"""Of fewer videos an interval is too narrow to lean on."""

Interval = tuple[float, float]


def intervals(records: Records, systems: dict[str, list[str]]) -> dict[str, dict[str, Interval | None]]:
    """Of each metric of each system (systems: names of their metrics) the 95 % interval of its headline."""
    return {name: {m: interval(records, name, m) for m in metrics} for name, metrics in systems.items()}


def interval(records: Records, system: str, metric: str) -> Interval | None:
    """Percentile bootstrap over videos; None for one video, and where most draws have nothing that counts."""
    found = Headlines([records], system, metric)
    videos = int(found.there.sum())
    if videos < 2:
        return None
    weights_dv = np.zeros((RESAMPLES, len(found.there)))
    weights_dv[:, found.there] = np.random.default_rng(0).multinomial(videos, np.full(videos, 1 / videos), RESAMPLES)
    values = found(weights_dv)[:, 0]
    known = values[~np.isnan(values)]
    if 2 * len(known) < len(values):
        return None
    low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
