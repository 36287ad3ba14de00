"""export: branches or the two steps of a video model as graph files, each checked against the torch model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ifrkit import __version__
from ifrkit.artifacts.indexes import Branches, Exported
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact
from ifrkit.config.export import ExportConfig
from ifrkit.core.errors import ConfigError, ThresholdError
from ifrkit.core.faults import resource_error
from ifrkit.core.records import IGNORE
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.scored import held_out
from ifrkit.export.accuracy import feeds, miou
from ifrkit.export.check import TRIM, Difference, compare, real_frames
from ifrkit.export.fold import without_batch_norms
from ifrkit.export.formats import SUFFIX, write
from ifrkit.export.graphs import SMALLEST, Branch, Graph, graphs, normalisation, without_adaptive_pooling
from ifrkit.export.int8 import quantise
from ifrkit.export.runtime import ExportedModel, open_graph
from ifrkit.models.video import VideoModel
from ifrkit.trained import load_branch, load_video_model


def run(job: Job) -> None:
    """Write the graphs and exported.json; the worst difference goes to the manifest."""
    config: ExportConfig = job.config
    store = ClipStore.of(job.input("clips"))
    models = _models(job)
    metadata = _metadata(job, store, models)
    graphs: dict[str, Any] = {}
    for name, model in job.display.track(list(models.items()), "export"):
        own = {**metadata, "normalisation": normalisation({name: model})}
        own["temperature"] = {name: model.temperature}
        graphs |= _export(job, store, name, model, own)
    checks = {name: graph["checked"] for name, graph in graphs.items()}
    rows = [
        [name, f"{c['max_difference']:.2e}", f"{c['relative']:.2e}", f"{c['changed_pixels']:.2%}", str(c["frames"])]
        for name, c in checks.items()
    ]
    job.display.table(
        "Difference to torch", ["graph", "max of logits", "relative", "pixels of another class", "frames"], rows
    )
    worst = max(c["relative"] for c in checks.values())
    job.metrics.update({"relative_difference": worst, "graphs": checks})
    if not worst <= config.tolerance:
        fault = f"export: {worst:.2e} away from torch, above tolerance {config.tolerance:g}"
        raise ThresholdError(fault, "--set tolerance=... if that is good enough, else --format torch")
    if config.int8:
        metadata["int8"] = {name: _quantise(job, store, name, model, graphs) for name, model in models.items()}
        _judge_int8(job, metadata["int8"])
    Exported.of({**metadata, "tolerance": config.tolerance, "graphs": graphs}).write(job.directory)


def _quantise(
    job: Job, store: ClipStore, name: str, model: Branch | VideoModel, graphs: dict[str, Any]
) -> dict[str, int | float]:
    """Put the int8 form of the graphs of a model in their place. Returns what that costs on labeled held-out frames."""
    names = [name] if isinstance(model, Branch) else ["key-step", "update-step"]
    paths = [job.directory / graphs[graph]["file"] for graph in names]
    exact = _opened(paths)
    new = [path.with_suffix(".int8") for path in paths]
    with torch.inference_mode():
        inputs = feeds(store, exact, job.config.calibration)
        for path, target, step in zip(paths, new, ("start", "step"), strict=False):
            job.display.status(f"{path.name}: calibration")
            quantise(path, target, inputs[step])
        for path, target in zip(paths, new, strict=True):
            target.replace(path)
        places, distance = held_out(store), (job.inputs[0].manifest.config.get("key_interval") or 1) - 1
        found = {
            form: miou(store, graph, job.display.track(places, f"mIoU, {form}"), distance)  # type: ignore[arg-type]
            for form, graph in (("float", exact), ("int8", _opened(paths)))
        }
    return {**found, "drop": found["float"] - found["int8"], "frames": len(places)}


def _judge_int8(job: Job, found: dict[str, dict[str, int | float]]) -> None:
    rows = [[n, *(f"{100 * f[k]:.2f}" for k in ("float", "int8", "drop")), str(f["frames"])] for n, f in found.items()]
    job.display.table("mIoU of 8-bit integers (%)", ["", "float", "int8", "drop", "frames"], rows)
    job.metrics["int8"] = found
    name = max(found, key=lambda n: found[n]["drop"])
    if (drop := found[name]["drop"]) > job.config.max_drop:
        fault = f"export --int8: {name} loses {100 * drop:.1f} points of mIoU, above {100 * job.config.max_drop:g}"
        raise ThresholdError(fault, "--set max_drop=... if that is good enough, else export without --int8")


def _models(job: Job) -> dict[str, Branch | VideoModel]:
    given, checkpoint = job.inputs[0], job.config.checkpoint
    if given.kind == "video-model":
        return {"video model": load_video_model(given, checkpoint).requires_grad_(False)}
    names = Branches.read(given).branches
    return {name: Branch(load_branch(given, name, checkpoint)).eval().requires_grad_(False) for name in names}


def _export(
    job: Job, store: ClipStore, name: str, model: Branch | VideoModel, metadata: dict[str, Any]
) -> dict[str, Any]:
    """Write and check the graphs of one model with as many open dimensions as can be. Returns their descriptions."""
    open_size = all(side - cut >= SMALLEST for side, cut in zip(store.size, TRIM, strict=True))
    tries = [("batch", "height", "width")] if open_size else []
    for dynamic in (*tries, ("batch",), ()):
        try:
            return _attempt(job, store, name, model, dynamic, metadata)
        except (ConfigError, OSError, MemoryError):
            raise
        except Exception as error:  # torch.export and the ONNX exporter raise errors of many kinds
            if resource_error(error, "export") is not None:
                raise
            fault = " ".join(str(error).split())[:160]
            job.display.warn(f"{name}: no graph with dynamic {', '.join(dynamic) or 'nothing'} ({fault})")
    raise ConfigError(f"{name}: cannot be exported as {job.config.format} ({fault})", "try the other --format")


def _attempt(
    job: Job,
    store: ClipStore,
    name: str,
    model: Branch | VideoModel,
    dynamic: tuple[str, ...],
    metadata: dict[str, Any],
) -> dict[str, Any]:
    if job.config.format == "onnx":
        frame_b3hw = next(real_frames(store, ()))[:, 0].contiguous()
        traced = without_batch_norms(without_adaptive_pooling(model), frame_b3hw)
    else:
        traced = model
    found = list(graphs(name, traced, store.size, dynamic))
    paths = [job.directory / f"{graph.name}{SUFFIX[job.config.format]}" for graph in found]
    described = {}
    for graph, path in zip(found, paths, strict=True):
        job.display.status(path.name)
        described[graph.name] = _describe(graph, path.name)
        write(graph, path, {**metadata, "graph": graph.name, **described[graph.name]})
    differences = compare(model, _opened(paths), list(real_frames(store, dynamic)))
    return {graph: {**described[graph], "checked": _of(differences, graph).report()} for graph in described}


def _opened(paths: list[Path]) -> ExportedModel:
    return ExportedModel(open_graph(paths[0]), open_graph(paths[1]) if len(paths) > 1 else None)


def _of(differences: dict[str, Difference], graph: str) -> Difference:
    return differences["step" if graph == "update-step" else "start"]


def _describe(graph: Graph, file: str) -> dict[str, Any]:
    """What a user of the file has to know of it."""
    with torch.no_grad():
        results = graph.module(*graph.example)

    def described(names: tuple[str, ...], tensors: tuple[torch.Tensor, ...]) -> list[dict[str, Any]]:
        return [
            {"name": name, "type": str(x.dtype).removeprefix("torch."), "shape": graph.shape(x)}
            for name, x in zip(names, tensors, strict=True)
        ]

    inputs, outputs = described(graph.inputs, graph.example), described(graph.outputs, results)
    return {"file": file, "inputs": inputs, "outputs": outputs, "dynamic": list(graph.dynamic)}


def _metadata(job: Job, store: ClipStore, models: Mapping[str, Branch | VideoModel]) -> dict[str, Any]:
    given: Artifact = job.inputs[0]
    return {
        "ifrkit": __version__,
        "format": job.config.format,
        "source": {"kind": given.kind, "id": given.id, "checkpoint": job.config.checkpoint},
        "classes": list(store.labels.names),
        "colors": [list(color) for color in store.labels.colors],
        "ignore": IGNORE,
        "normalisation": normalisation(models),
        "temperature": {name: model.temperature for name, model in models.items()},
        "size": list(store.size),
        "key_interval": given.manifest.config.get("key_interval"),
    }
