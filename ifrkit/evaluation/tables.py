"""The rows of the tables that `eval` and `compare` print. Fractions in, percent out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from ifrkit.plugins import load

Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, rows."""


def percent(value: float | None) -> str:
    """Two digits; a dash where nothing was counted."""
    return "-" if value is None else f"{100 * value:.2f}"


def headlines(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """The one number of each metric, for each system."""
    return {
        system: {name: computed[load("metrics", name).headline] for name, computed in metrics.items()}
        for system, metrics in systems.items()
    }


def titles(metrics: Sequence[str]) -> list[str]:
    """How tables call metrics."""
    return [load("metrics", name).title for name in metrics]


def summary(report: Mapping[str, Any]) -> Table:
    """One row a system."""
    numbers = headlines(report["systems"])
    metrics = list(next(iter(numbers.values())))
    title = (
        f"{report['dataset']} {report['split']}, {report['clips']} clips, {report['scored_frames']} scored frames (%)"
    )
    rows = [[system, *(percent(row[name]) for name in metrics)] for system, row in numbers.items()]
    return title, ["", *titles(metrics)], rows


def per_class(report: Mapping[str, Any]) -> Table:
    """IoU of each class, one column a system."""
    systems = {name: metrics["miou"]["iou"] for name, metrics in report["systems"].items()}
    rows = [[label, *(percent(ious[i]) for ious in systems.values())] for i, label in enumerate(report["classes"])]
    return "IoU (%)", ["class", *systems], rows


def inner_video(report: Mapping[str, Any]) -> Table:
    """Inner-video overfitting: what is lost away from the annotated frame (Tables 2 and 8 of the paper)."""
    rows = []
    for system, found in report["inner_video"].items():
        here, there = found["annotated"], found["others"]
        gap = None if here is None or there is None else here - there
        rows.append([system, percent(here), percent(there), percent(gap)])
    return "Inner-video gap, mIoU (%)", ["", "annotated frames", "other frames", "gap"], rows


SAME = ("clips_id", "split", "frames", "key_interval", "distance", "label_size", "flow")
"""What reports must share before their numbers may stand in one table."""


def differences(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the reports do not share, each with its values."""
    found = {key: list(dict.fromkeys(json.dumps(report[key]) for report in reports)) for key in SAME}
    return [f"{key} ({', '.join(values)})" for key, values in found.items() if len(values) > 1]


def comparison(reports: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Metrics that all reports have, and a row for each system of each training; seeds are put together.

    A row has `model`, `system`, `passes` (cost of a step in supervised steps), `seeds`, and of each metric the values.
    """
    metrics = [m for m in next(iter(reports[0]["systems"].values())) if all(_has(report, m) for report in reports)]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for report in reports:
        model = report["model"]
        name = f"{'+'.join(model['ssl'])} {model['labeled']} {'/'.join(model['backbones'].values())}"
        for system, numbers in headlines(report["systems"]).items():
            row = rows.setdefault((name, system), {"model": name, "system": system, "seeds": [], "metrics": {}})
            row["passes"] = next(iter(model["passes"].values()))["cost"]
            row["seeds"].append(model["seed"])
            for metric in metrics:
                row["metrics"].setdefault(metric, []).append(numbers[metric])
    return metrics, list(rows.values())


def spread(values: Sequence[float | None]) -> str:
    """Mean over seeds, with the sample standard deviation where there are several."""
    known = [v for v in values if v is not None]
    if len(known) < 2 or len(known) < len(values):
        return percent(known[0] if len(known) == len(values) == 1 else None)
    return f"{percent(mean(known))} +- {percent(stdev(known))}"


def _has(report: Mapping[str, Any], metric: str) -> bool:
    return all(metric in computed for computed in report["systems"].values())
