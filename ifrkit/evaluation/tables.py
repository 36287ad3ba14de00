"""The rows of the tables that `eval` and `compare` print. Fractions in, percent out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from ifrkit.core.plugins import load
from ifrkit.evaluation.bootstrap import difference
from ifrkit.evaluation.records import Records

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
    scored = f", {report['scored_frames']} scored frames" if report["scored_frames"] else ""
    title = f"{report['dataset']} {report['split']}, {report['clips']} clips{scored} (%)"
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


def distances(report: Mapping[str, Any]) -> list[Table]:
    """mIoU at each distance to the key frame, and of each key interval (the mean over its distances)."""
    found = report["distances"]
    systems, frames = found["systems"], found["scored_frames"]
    count = len(next(iter(systems.values()))["at"])
    at = [[str(d), *(percent(s["at"][d]) for s in systems.values())] for d in range(count)]
    over = [[str(i + 1), *(percent(s["mean"][i]) for s in systems.values())] for i in range(count)]
    return [
        (f"mIoU (%) over the distance to the key frame, {frames} frames", ["distance", *systems], at),
        ("mIoU (%) over the key interval", ["interval", *systems], over),
    ]


SAME = ("clips_id", "split", "frames", "key_interval", "distance", "label_size", "flow")
"""What reports must share before their numbers may stand in one table."""


def differences(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the reports do not share, each with its values. Flow counts where it was used (null: it was not)."""
    found = {key: [r[key] for r in reports if key != "flow" or r[key] is not None] for key in SAME}
    texts = {key: list(dict.fromkeys(json.dumps(value) for value in values)) for key, values in found.items()}
    return [f"{key} ({', '.join(values)})" for key, values in texts.items() if len(values) > 1]


def comparison(reports: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Metrics that all reports have, and a row for each system of each training; seeds are put together.

    A row has `model`, `system`, `passes` (cost of a step in supervised steps), `seeds`, of each metric the values, and
    `reports`: where each value stands among the given reports.
    Trainings of one name get the settings that differ added to it. What two reports judged counts once.
    """
    metrics = [m for m in next(iter(reports[0]["systems"].values())) if all(_has(report, m) for report in reports)]
    rows: dict[str, dict[str, Any]] = {}
    settings: dict[str, dict[str, Any]] = {}
    seen = set()
    for number, report in enumerate(reports):
        model = report["model"]
        name = f"{'+'.join(model['ssl'])} {model['labeled']} {'/'.join(model['backbones'].values())}"
        for place, (system, numbers) in enumerate(headlines(report["systems"]).items()):
            own = place == 0 and model["kind"] == "video-model"
            used = {
                f"{kind}.{key}": value
                for kind, config in model["settings"].items()
                if own or kind == "branches"
                for key, value in config.items()
            }
            training = json.dumps([name, system, used], sort_keys=True)
            if (weights := (training, model["id"] if own else model["branches_id"])) in seen:
                continue
            seen.add(weights)
            row = rows.setdefault(
                training, {"model": name, "system": system, "seeds": [], "metrics": {}, "reports": []}
            )
            settings[training] = used
            row["passes"] = next(iter(model["passes"].values()))["cost"]
            row["seeds"].append(model["seed"])
            row["reports"].append(number)
            for metric in metrics:
                row["metrics"].setdefault(metric, []).append(numbers[metric])
    _tell_apart(rows, settings)
    return metrics, list(rows.values())


def _tell_apart(rows: Mapping[str, dict[str, Any]], settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Rows of the same name and system get the settings that differ added to the name."""
    groups: dict[tuple[str, str], list[str]] = {}
    for training, row in rows.items():
        groups.setdefault((row["model"], row["system"]), []).append(training)
    for group in groups.values():
        keys = dict.fromkeys(key for training in group for key in settings[training])
        differ = [key for key in keys if len({json.dumps(settings[t].get(key)) for t in group}) > 1]
        for training in group if differ else ():
            said = ", ".join(f"{key}={json.dumps(settings[training].get(key))}" for key in differ)
            rows[training]["model"] += f" ({said})"


def against_first(rows: Sequence[dict[str, Any]], records: Sequence[Records]) -> None:
    """Give each row of `comparison` its `difference`: mIoU minus that of the first row, with `low` and `high` (95 %).

    records: of each report. Rows of the same seeds are compared seed by seed.
    """

    def counts(row: Mapping[str, Any]) -> list[Any]:
        order = sorted(zip(row["seeds"], row["reports"], strict=True))
        return [records[number].of(row["system"], "miou")["confusion"] for _, number in order]

    for row in rows:
        paired = sorted(row["seeds"]) == sorted(rows[0]["seeds"])
        found = difference(counts(row), counts(rows[0]), paired_seeds=paired)
        low, high = found.interval or (None, None)
        row["difference"] = {"value": found.value, "low": low, "high": high}


def interval(difference: Mapping[str, float | None]) -> str:
    """A difference in points with its interval: "+1.20 [-0.30, +2.70]"."""
    points = [
        "-" if difference[k] is None else f"{100 * (difference[k] or 0.0):+.2f}" for k in ("value", "low", "high")
    ]
    return f"{points[0]} [{points[1]}, {points[2]}]"


def spread(values: Sequence[float | None]) -> str:
    """Mean over seeds, with the sample standard deviation where there are several."""
    known = [v for v in values if v is not None]
    if len(known) < 2 or len(known) < len(values):
        return percent(known[0] if len(known) == len(values) == 1 else None)
    return f"{percent(mean(known))} +- {percent(stdev(known))}"


def _has(report: Mapping[str, Any], metric: str) -> bool:
    return all(metric in computed for computed in report["systems"].values())
