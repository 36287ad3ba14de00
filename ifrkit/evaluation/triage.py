"""Which frames a human should look at: those that the model is least sure of, by a threshold of measured coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COVERAGES = (0.95, 0.9, 0.8, 0.7, 0.5)


def triage(
    confidence: NDArray[np.float64], accuracy: NDArray[np.float64], coverages: Sequence[float] = COVERAGES
) -> list[dict[str, float | int | None]]:
    """A row for each coverage: keep the frames whose mean confidence is at least `threshold`, send the others on.

    confidence, accuracy: of each held-out frame its mean over pixels; NaN where it has none. A row has the `coverage`
    that was measured (equal confidences stay together), the pixel accuracy of kept and of sent frames, and their
    numbers. Empty without confidences.
    """
    known = ~np.isnan(confidence) & ~np.isnan(accuracy)
    sure, right = confidence[known], accuracy[known]
    rows: list[dict[str, float | int | None]] = []
    for coverage in coverages if len(sure) else ():
        place = min(len(sure) - 1, int(np.floor((1 - coverage) * len(sure) + 1e-9)))
        threshold = float(np.sort(sure)[place])
        kept = sure >= threshold
        if rows and rows[-1]["threshold"] == threshold:
            continue
        rows.append(
            {
                "threshold": threshold,
                "coverage": float(kept.mean()),
                "kept": int(kept.sum()),
                "sent": int((~kept).sum()),
                "kept_accuracy": float(right[kept].mean()),
                "sent_accuracy": float(right[~kept].mean()) if not kept.all() else None,
            }
        )
    return rows
