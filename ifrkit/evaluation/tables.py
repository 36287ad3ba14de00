"""The rows of the tables that `eval` prints. Fractions in, percent out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from ifrkit.core.plugins import load
from ifrkit.evaluation.intervals import FEW

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


def calibration(report: Mapping[str, Any]) -> str:
    """Whether the split that judges confidences is the one that a temperature was fitted on; empty: it is not."""
    kinds = [load("metrics", name) for name in next(iter(report["systems"].values()))]
    judged = " and ".join(kind.title for kind in kinds if "confidences" in kind.needs)
    if not judged or report["split"] != "val" or not report["model"].get("temperature"):
        return ""
    fitted = f"{judged}: the model's temperature was fitted on this split"
    found = report.get("cross_fitted")
    if not found:
        return f"{fitted}, which flatters"
    if found["halves"]:
        return f"{fitted}, so each half of its one video is judged by one fitted on the other half; halves are alike"
    return f"{fitted}, so each of {found['groups']} groups of videos is judged by one fitted on the others"


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


def spread(values: Sequence[float | None]) -> str:
    """Mean over seeds, with the sample standard deviation where there are several."""
    known = [v for v in values if v is not None]
    if len(known) < 2 or len(known) < len(values):
        return percent(known[0] if len(known) == len(values) == 1 else None)
    return f"{percent(mean(known))} +- {percent(stdev(known))}"
