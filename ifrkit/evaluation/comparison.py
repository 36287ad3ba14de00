"""Several reports beside each other: which may be, the rows that they become, and the differences of those rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from ifrkit.evaluation.bootstrap import RESAMPLES, Confusions, Pair, Scores, needed
from ifrkit.evaluation.records import Records
from ifrkit.evaluation.scores import Headlines
from ifrkit.evaluation.tables import headlines

OTHERS = 1000
"""Draws for metrics that are computed draw by draw; mIoU has all of its draws at once."""

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


def against_first(
    rows: Sequence[dict[str, Any]], metrics: Sequence[str], records: Sequence[Records], power: bool = False
) -> None:
    """Give each row of `comparison` its `differences`: of each metric its value minus that of the first row.

    With `low` and `high` (95 %); `told` says whether it is more than chance as one of all the comparisons (None:
    nothing to tell it by). power: also how many `videos` or `seeds` would tell, in `needed`. records: of each report.
    Rows of the same seeds are compared seed by seed. A value is None where nothing counts.
    """
    count = comparisons(rows, metrics)
    for metric in metrics:
        base = _scores(rows[0], metric, records)
        for row in rows:
            pair = Pair(
                _scores(row, metric, records), base, paired_seeds=sorted(row["seeds"]) == sorted(rows[0]["seeds"])
            )
            found = pair.difference(RESAMPLES if metric == "miou" else OTHERS)
            known = found.draws is not None and not isnan(found.value)
            low, high = (found.interval if known else None) or (None, None)
            row.setdefault("differences", {})[metric] = {
                "value": None if isnan(found.value) else found.value,
                "low": low,
                "high": high,
                "videos": found.videos,
                "told": found.told(count) if known else None,
            }
            if power and known and row is not rows[0]:
                row.setdefault("needed", {})[metric] = needed(pair, count)._asdict()


def _scores(row: Mapping[str, Any], metric: str, records: Sequence[Records]) -> Scores:
    order = sorted(zip(row["seeds"], row["reports"], strict=True))
    found = [records[number] for _, number in order]
    if metric == "miou":
        return Confusions([one.by_video(row["system"], metric)["confusion"] for one in found])
    return Headlines(found, row["system"], metric)


def comparisons(rows: Sequence[Any], metrics: Sequence[str]) -> int:
    """How many chances there are to call a difference: other rows times metrics, at least one."""
    return max(1, (len(rows) - 1) * len(metrics))


def _has(report: Mapping[str, Any], metric: str) -> bool:
    return all(metric in computed for computed in report["systems"].values())
