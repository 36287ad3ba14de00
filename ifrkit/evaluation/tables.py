"""The rows of the tables that `eval` and `compare` print. Fractions in, percent out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from ifrkit.core.plugins import load
from ifrkit.evaluation.bootstrap import Pair, needed, together
from ifrkit.evaluation.intervals import FEW
from ifrkit.evaluation.records import Records

Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, rows."""


def percent(value: float | None) -> str:
    """Two digits; a dash where nothing was counted."""
    return "-" if value is None else f"{100 * value:.2f}"


def measured(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A value, with its interval if it has one: "45.31 [41.2, 48.9]"."""
    between = "" if interval is None else f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"
    return percent(value) + between


def evidence(videos: int) -> str:
    """What the intervals of a table stand on."""
    if videos < 2:
        return "one video: what holds for other videos cannot be said, so there are no intervals"
    few = f"; {videos} are few, so they are rather too narrow" if videos < FEW else ""
    return f"95 % intervals over {videos} independent videos{few}"


def headlines(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """The one number of each metric, for each system."""
    return {
        system: {name: computed[load("metrics", name).headline] for name, computed in metrics.items()}
        for system, metrics in systems.items()
    }


def titles(metrics: Sequence[str]) -> list[str]:
    """How tables call metrics, and where not the largest is the best."""
    kinds = [load("metrics", name) for name in metrics]
    return [f"{kind.title} (0 best)" if kind.smaller_is_better else kind.title for kind in kinds]


def summary(report: Mapping[str, Any]) -> Table:
    """One row a system."""
    numbers = headlines(report["systems"])
    metrics = list(next(iter(numbers.values())))
    scored = f", {report['scored_frames']} scored frames" if report["scored_frames"] else ""
    title = f"{report['dataset']} {report['split']}, {report['clips']} clips{scored} (%)"
    found = report.get("intervals", {})
    rows = [
        [system, *(measured(row[name], found.get(system, {}).get(name)) for name in metrics)]
        for system, row in numbers.items()
    ]
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


def corruptions(report: Mapping[str, Any]) -> Table:
    """mIoU of worse frames, and what is left of that of clean ones at the highest strength."""
    found = report["corruptions"]
    clean, rows = found["clean"]["miou"], []
    for kind, strengths in found["kinds"].items():
        last = strengths[-1]["miou"]
        left = "-" if not clean or last is None else f"{100 * last / clean:.0f} %"
        rows.append([kind, *(percent(one["miou"]) for one in strengths), left])
    columns = ["strength", *(str(i + 1) for i in range(len(rows[0]) - 2)), "left"]
    return f"mIoU (%) of {found['frames']} frames made worse; clean {percent(clean)}", columns, rows


def triage(report: Mapping[str, Any]) -> Table:
    """Which frames go to a human."""
    rows = [
        [
            f"{row['threshold']:.3f}",
            percent(row["coverage"]),
            percent(row["kept_accuracy"]),
            str(row["sent"]),
            percent(row["sent_accuracy"]),
        ]
        for row in report["triage"]
    ]
    columns = ["mean confidence below", "frames kept", "their accuracy", "frames sent", "their accuracy"]
    return "Frames to send to a human (%), by the mean confidence of their pixels", columns, rows


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


def against_first(rows: Sequence[dict[str, Any]], records: Sequence[Records], power: bool = False) -> None:
    """Give each row of `comparison` its `difference`: mIoU minus that of the first row, with `low` and `high` (95 %).

    `told` says whether it is more than chance as one of all the comparisons (None: nothing to tell it by). power: also
    how many `videos` or `seeds` would tell. records: of each report. Rows of the same seeds are compared seed by seed.
    """

    def counts(row: Mapping[str, Any]) -> list[Any]:
        order = sorted(zip(row["seeds"], row["reports"], strict=True))
        return [records[number].by_video(row["system"], "miou")["confusion"] for _, number in order]

    for row in rows:
        paired = sorted(row["seeds"]) == sorted(rows[0]["seeds"])
        pair = Pair(counts(row), counts(rows[0]), paired_seeds=paired)
        found = pair.difference()
        low, high = found.interval or (None, None)
        told = None if found.draws is None else found.told(len(rows) - 1 or 1)
        row["difference"] = {"value": found.value, "low": low, "high": high, "videos": found.videos, "told": told}
        if power and row is not rows[0]:
            row["needed"] = needed(pair, len(rows) - 1)._asdict()


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the differences of `against_first` do not show, in sentences; how many comparisons there are first."""
    others, lines = rows[1:], []
    if len(others) > 1:
        level = f"{100 * together(len(others)):.4g}"
        lines.append(
            f"{len(others)} comparisons with the first row: to be called more than chance, each has to hold at "
            f"{level} % (Bonferroni)"
        )
    for row in others:
        found, name = row["difference"], f"{row['model']}: {row['system']}"
        seen = f"{_count(found['videos'], 'video')}, {_count(len(row['seeds']), 'seed')}"
        if found["told"] is None:
            lines.append(f"{name}: one video and one seed cannot tell a difference from chance")
        elif not found["told"]:
            lines.append(f"{name}: the difference of {100 * found['value']:+.2f} cannot be told from chance ({seen})")
        if "needed" in row:
            lines.append(f"{name}: {_would_tell(row, found)}")
    videos = rows[0]["difference"]["videos"]
    if videos == 1 and others:
        lines.append("all of it is one video: nothing here says what holds for another")
    elif videos < FEW and others:
        lines.append(f"{videos} independent videos are few: the intervals are rather too narrow")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _would_tell(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """How many videos or seeds would, in words."""
    ways = {
        "videos": f"with {_count(len(row['seeds']), 'seed')}",
        "seeds": f"with {_count(found['videos'], 'video')}",
    }
    said = [f"{row['needed'][what]} {what} {how}" for what, how in ways.items() if row["needed"][what] is not None]
    size = f"a difference of {100 * found['value']:+.2f}"
    if not said:
        return f"neither more videos nor more seeds alone would tell {size}, or there are too few to say how many"
    return f"{' or '.join(said)} would tell {size} in 80 % of repetitions"


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
