"""What `compare` says of the differences between its rows. Fractions in, percent out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ifrkit.evaluation.bootstrap import together
from ifrkit.evaluation.comparison import comparisons
from ifrkit.evaluation.intervals import FEW
from ifrkit.evaluation.tables import Table, titles


def against(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The differences of `against_first` in points, each metric of each further row."""
    cells = []
    for row in rows[1:]:
        for metric, found in row["differences"].items():
            told = {True: "yes", False: "no", None: "-"}[found["told"]]
            cells.append([f"{row['model']}: {row['system']}", titles([metric])[0], interval(found), told])
    return "Minus the first row", ["model", "metric", "difference [95 %]", "more than chance"], cells


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the differences of `against_first` do not show, in sentences; how many comparisons there are first."""
    others, metrics, lines = rows[1:], list(rows[0]["differences"]), []
    if (count := comparisons(rows, metrics)) > 1:
        of = f" ({_count(len(others), 'row')}, {_count(len(metrics), 'metric')})" if len(metrics) > 1 else ""
        lines.append(
            f"{count} comparisons with the first row{of}: to be called more than chance, each has to hold at "
            f"{100 * together(count):.4g} % (Bonferroni)"
        )
    for row in others:
        lines += _verdicts_of(row)
    videos = _videos(rows[0])
    if videos == 1 and others:
        lines.append("all of it is one video: nothing here says what holds for another")
    elif videos < FEW and others:
        lines.append(f"{videos} independent videos are few: the intervals are rather too narrow")
    return lines


def _verdicts_of(row: Mapping[str, Any]) -> list[str]:
    """About one row."""
    name, lines, unclear, silent = f"{row['model']}: {row['system']}", [], [], False
    for metric, found in row["differences"].items():
        silent |= found["told"] is None
        if found["told"] is False:
            unclear.append(f"{titles([metric])[0]} {100 * found['value']:+.2f}")
    if unclear:
        seen = f"{_count(_videos(row), 'video')}, {_count(len(row['seeds']), 'seed')}"
        lines.append(f"{name}: cannot be told from chance: {', '.join(unclear)} ({seen})")
    if silent:
        lines.append(f"{name}: {_silence(row)}")
    for metric, ways in row.get("needed", {}).items():
        lines.append(f"{name}: {_would_tell(row, metric, ways)}")
    return lines


def _videos(row: Mapping[str, Any]) -> int:
    return max(int(found["videos"]) for found in row["differences"].values())


def _silence(row: Mapping[str, Any]) -> str:
    """Why differences have no interval."""
    if _videos(row) < 2 and len(row["seeds"]) < 2:
        return "one video and one seed cannot tell a difference from chance"
    names = [titles([metric])[0] for metric, found in row["differences"].items() if found["told"] is None]
    return f"too little counts for an interval of {', '.join(names)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _would_tell(row: Mapping[str, Any], metric: str, ways: Mapping[str, int | None]) -> str:
    """How many videos or seeds would, in words."""
    found = row["differences"][metric]
    beside = {
        "videos": f"with {_count(len(row['seeds']), 'seed')}",
        "seeds": f"with {_count(found['videos'], 'video')}",
    }
    said = [f"{ways[what]} {what} {how}" for what, how in beside.items() if ways[what] is not None]
    size = f"a difference of {100 * found['value']:+.2f} in {titles([metric])[0]}"
    if not said:
        return f"neither more videos nor more seeds alone would tell {size}, or there are too few to say how many"
    return f"{' or '.join(said)} would tell {size} in 80 % of repetitions"


def interval(difference: Mapping[str, float | None]) -> str:
    """A difference in points with its interval: "+1.20 [-0.30, +2.70]"."""
    points = [
        "-" if difference[k] is None else f"{100 * (difference[k] or 0.0):+.2f}" for k in ("value", "low", "high")
    ]
    return f"{points[0]} [{points[1]}, {points[2]}]"
