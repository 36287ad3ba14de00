"""Any metric on any draw of the videos, out of the records of reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ifrkit.evaluation.records import Records


class Headlines:
    """The headline of a metric of one system, in each of these records (one a seed). See `bootstrap.Scores`."""

    def __init__(self, records: Sequence[Records], system: str, metric: str) -> None:
        self._records, self._metric = records[0], metric
        self._counts = [found.by_video(system, metric) for found in records]
        self.seeds = len(records)
        arrays = [array for counts in self._counts for array in counts.values()]
        self.there: NDArray[np.bool_] = np.any([array.any(tuple(range(1, array.ndim))) for array in arrays], axis=0)

    def __call__(self, weights_dv: NDArray[np.float64]) -> NDArray[np.float64]:
        # Of few videos there are few different draws, and each is computed once.
        different, place = np.unique(weights_dv.astype(np.int64), axis=0, return_inverse=True)
        values = [[self._of(row, seed) for seed in range(self.seeds)] for row in different]
        return np.array(values, np.float64)[place.ravel()]  # None becomes NaN

    def _of(self, weights_v: NDArray[np.int64], seed: int) -> float | None:
        summed = {key: np.tensordot(weights_v, array, 1) for key, array in self._counts[seed].items()}
        return self._records.headline(self._metric, summed)
