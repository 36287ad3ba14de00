"""Limits that a pipeline gates on: `eval --fail-under` and `--fail-over`, and their outcome as JUnit XML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.core.plugins import load, spelled
from ifrkit.core.text import safe

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET
else:
    ET = lazy("xml.etree.ElementTree")

BOUNDS = ("low", "high")
"""Ends of the interval of a metric, as in "mIoU.low"."""


@dataclass(frozen=True)
class Limit:
    """METRIC[.low|.high]=VALUE. over: the value may not be above it, else not below. bound: "" for the value itself."""

    metric: str
    bound: str
    value: float
    over: bool

    @property
    def flag(self) -> str:
        """As it is typed."""
        what = f"{self.metric}.{self.bound}" if self.bound else self.metric
        return f"--fail-{'over' if self.over else 'under'} {what}={self.value:g}"


@dataclass(frozen=True)
class Outcome:
    """Whether a limit was kept. said: one sentence where it was not."""

    limit: Limit
    said: str

    @property
    def kept(self) -> bool:
        """Whether nothing is wrong."""
        return not self.said


def parse(text: str, over: bool) -> Limit:
    """A limit as a user types it. Raises ConfigError."""
    name, _, number = text.partition("=")
    metric, _, bound = name.partition(".")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not metric or not 0 <= value <= 1 or (bound and bound not in BOUNDS):
        fault = f"--fail-{'over' if over else 'under'} {text}: not of the form METRIC=FRACTION or METRIC.low=FRACTION"
        raise ConfigError(fault, "write for example mIoU=0.55")
    return Limit(spelled(metric), bound, value, over)


def parsed(under: Sequence[str], over: Sequence[str]) -> list[Limit]:
    """All limits of a command; of several for one value the last one counts. Raises ConfigError."""
    every = [*(parse(text, over=False) for text in under), *(parse(text, over=True) for text in over)]
    return list({(limit.metric, limit.bound, limit.over): limit for limit in every}.values())


def check(limits: Sequence[Limit], metrics: Sequence[str]) -> None:
    """Raise ConfigError for a limit of a metric that is not measured, or on the wrong side of one that is."""
    for limit in limits:
        if limit.metric not in metrics:
            fault = f"{limit.flag}: {limit.metric} is not among --metric {','.join(metrics)}"
            raise ConfigError(fault, "add it to --metric")
        smaller = load("metrics", limit.metric).smaller_is_better
        if smaller != limit.over:
            which = ("smaller", "--fail-over") if smaller else ("larger", "--fail-under")
            raise ConfigError(f"{limit.flag}: of {limit.metric} {which[0]} is better", f"use {which[1]}")


def outcomes(limits: Sequence[Limit], report: Mapping[str, Any]) -> list[Outcome]:
    """What came of each. report: of `Report.tree`; its first system counts, the model that was given."""
    system, computed = next(iter(report["systems"].items()))
    found = []
    for limit in limits:
        value = computed[limit.metric][load("metrics", limit.metric).headline]
        if limit.bound:
            interval = report.get("intervals", {}).get(system, {}).get(limit.metric)
            value = interval[BOUNDS.index(limit.bound)] if interval else None
        found.append(Outcome(limit, _said(limit, value, int(report.get("videos", 0)))))
    return found


def _said(limit: Limit, value: float | None, videos: int) -> str:
    name = f"{limit.metric}.{limit.bound}" if limit.bound else limit.metric
    if value is None:
        why = f" (an interval needs several videos, there is {videos})" if limit.bound and videos < 2 else ""
        return f"{name} was not measured{why} ({limit.flag})"
    if limit.over and value > limit.value:
        return f"{name} is {value:.4f}, above {limit.flag}"
    if not limit.over and value < limit.value:
        return f"{name} is {value:.4f}, below {limit.flag}"
    return ""


def write_junit(path: Path, found: Sequence[Outcome], report: Mapping[str, Any]) -> None:
    """The outcomes as JUnit XML, one test case each: what CI systems draw."""
    failed = sum(not outcome.kept for outcome in found)
    numbers = {"tests": str(len(found)), "failures": str(failed), "errors": "0"}
    suite = ET.Element("testsuite", {"name": safe(f"ifrkit eval {report['dataset']} {report['split']}"), **numbers})
    for outcome in found:
        name = {"classname": safe(f"ifrkit.eval.{next(iter(report['systems']))}"), "name": outcome.limit.flag}
        case = ET.SubElement(suite, "testcase", name)
        if not outcome.kept:
            ET.SubElement(case, "failure", {"message": outcome.said}).text = outcome.said
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
