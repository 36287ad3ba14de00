"""The ways to predict with a model and with what was made of it, and what reports say of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from ifrkit.artifacts.indexes import Branches, Choice, Exported, Report, VideoModel
from ifrkit.artifacts.store import Artifact
from ifrkit.config.plan import PlanConfig
from ifrkit.evaluation.systems import scaled_name

_FORMS = {"onnx": "", "int8": " --int8"}
"""Of exported graphs: what they are called, and the flag of `ifrkit export` that makes them."""


def choices(config: PlanConfig, model: Artifact, others: Sequence[Artifact], longest: int) -> Iterator[Choice]:
    """All of them, with the accuracy that reports give.

    others: branches, exported graphs and reports of the model. longest: key interval that the clips can be judged at.
    """
    branches = model if model.kind == "branches" else next(other for other in others if other.kind == "branches")
    reports = [other for other in others if other.kind == "report"]
    graphs = [other for other in others if other.kind == "exported"]
    size = {} if config.size == "train" else {"size": config.size}
    for choice in _ways(config, model, branches, graphs):
        choice = _judged(replace(choice, settings={**choice.settings, **size}), reports)
        known = choice.tc is not None and (choice.miou is not None or choice.interval > longest)
        if choice.kind in ("branches", "video-model") and not known:
            choice = replace(choice, lacking=(_command(choice, model, longest),))
        yield choice


def _ways(config: PlanConfig, model: Artifact, branches: Artifact, graphs: Sequence[Artifact]) -> Iterator[Choice]:
    names = Branches.read(branches).branches
    light = "update" if "update" in names else next(iter(names))
    for name in sorted(names):  # the reference branch first
        yield _way(f"{name}, every frame", branches, branch=name)
    yield _way(_scaled(light, config.scale), branches, branch=light, scale=config.scale)
    if model.kind == "video-model":
        arch = VideoModel.read(model).arch
        for interval in config.intervals:
            yield _way(f"{arch}, key interval {interval}", model, interval, key_interval=interval)
    for source in dict.fromkeys((branches.id, model.id)):
        given = branches if source == branches.id else model
        for form, flag in _FORMS.items():
            own = [graph for graph in graphs if graph.manifest.inputs[0].id == source]
            made = [graph for graph in own if bool(graph.manifest.config.get("int8")) == bool(flag)]
            if not made:
                name = f"{light}, every frame, {form}" if given is branches else f"{arch}, {form}"
                yield _lacking(name, f"ifrkit export{flag} --from {given.path}")
            for graph in made:
                yield from _of_graphs(config, graph, form, light, "" if given is branches else arch)


def _of_graphs(config: PlanConfig, graph: Artifact, form: str, light: str, arch: str) -> Iterator[Choice]:
    index = Exported.read(graph)
    if arch:
        for interval in config.intervals:
            yield _way(f"{arch}, key interval {interval}, {form}", graph, interval, key_interval=interval)
        return
    whole = _way(f"{light}, every frame, {form}", graph, branch=light)
    measured = index.int8.get(light, {}).get("int8")
    yield replace(whole, miou=measured)  # export judged it on the frames that eval scores
    if "height" in index.graphs[light].dynamic:
        yield _way(f"{_scaled(light, config.scale)}, {form}", graph, branch=light, scale=config.scale)


def _scaled(branch: str, scale: float) -> str:
    return f"{branch}, every frame{scaled_name(scale)}"


def _way(name: str, source: Artifact, interval: int = 1, **settings: Any) -> Choice:
    return Choice(name=name, kind=source.kind, id=source.id, settings=settings, interval=interval)


def _lacking(name: str, command: str) -> Choice:
    return Choice(name=name, kind="", id="", settings={}, interval=1, lacking=(command,))


def _judged(choice: Choice, reports: Sequence[Artifact]) -> Choice:
    """With mIoU and TC of the newest reports that have them.

    Graphs in floating point are what they were made from (`ifrkit/export/check.py`), so their reports count; those in
    8-bit integers are not.
    """
    if not choice.id or choice.name.endswith(", int8"):
        return choice
    found: dict[str, float | None] = {"miou": None, "tc": None}
    for report in reversed(reports):
        for metric, value in _said(choice, report).items():
            found[metric] = value if found[metric] is None else found[metric]
    return replace(choice, **found)


def _command(choice: Choice, model: Artifact, longest: int) -> str:
    command = f"ifrkit eval --from {model.path} --metric mIoU,TC"
    if choice.interval > 1:
        far = f" --distances {choice.interval}" if choice.interval <= longest else ""
        return f"{command} --key-interval {choice.interval}{far}"
    scale = choice.settings.get("scale")
    return f"{command} --set scale={scale:g}" if scale else command


def _said(choice: Choice, report: Artifact) -> dict[str, float | None]:
    """What a report says of a choice. Of a key interval: the mean over the distances to the key frame."""
    config, numbers = report.manifest.config, report.manifest.metrics.get("systems", {})
    scale, name = config.get("scale", 1.0), choice.name.removesuffix(", onnx")
    if scale != choice.settings.get("scale", 1.0):
        return {}
    if choice.interval == 1:
        return {metric: numbers.get(name, {}).get(metric) for metric in ("miou", "tc")}
    arch = name.partition(",")[0]
    at = Report.read(report).distances.get("systems", {}).get(arch, {}).get("mean", [])
    tc = numbers.get(arch, {}).get("tc") if config["key_interval"] == choice.interval else None
    return {"miou": at[choice.interval - 1] if len(at) >= choice.interval else None, "tc": tc}
