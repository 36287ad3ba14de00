"""Cutting clips from frames that are numbered in the original video, but of which only some exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


def _tolerance(step: int) -> int:
    """How far a step may differ and still be the same rate: one frame, when that is at most a tenth of the step.

    CamVid was labeled every 30 frames by hand, with 00901 in place of 00900. At step 2 a difference of 1 is a gap.
    """
    return 1 if step >= 10 else 0


def runs(numbers: Sequence[int], least: int = 2) -> list[list[int]]:
    """Split ascending frame numbers into runs of one rate; returns positions in `numbers`.

    A step counts as the commonest step within its tolerance (31 and 29 become 30). A run goes on while that is the
    same, so it never crosses a gap or a change of rate. Rates too rare for a run of `least` frames start none.
    """
    steps = [b - a for a, b in pairwise(numbers)]
    count = Counter(steps)

    def rate_of(step: int) -> int:
        near = (rate for rate in count if abs(rate - step) <= _tolerance(rate))
        return max(near, key=lambda rate: (count[rate], -rate), default=step)

    rates = [rate_of(step) for step in steps]
    common = Counter(rates)
    result: list[list[int]] = [[0]] if numbers else []
    rate: int | None = None
    for position, step in enumerate(rates, start=1):
        if step == rate or (rate is None and common[step] >= least - 1):
            result[-1].append(position)
            rate = step
        else:
            result.append([position])
            rate = None
    return result


def windows(run: Sequence[int], length: int, stride: int) -> list[list[int]]:
    """Windows of `length` neighbours of a run, their ends `stride` apart; a remainder at the end is left out."""
    return [list(run[i : i + length]) for i in range(0, len(run) - length + 1, stride)]
