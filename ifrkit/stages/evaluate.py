"""eval: metrics of a branch or a video model on a split, beside the free baselines, with pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage

if TYPE_CHECKING:
    from ifrkit import flow_sources
    from ifrkit.artifacts import manifest, store
    from ifrkit.config.evaluate import EvalConfig
    from ifrkit.core import plugins
else:
    flow_sources, store = lazy("ifrkit.flow_sources"), lazy("ifrkit.artifacts.store")
    manifest, plugins = lazy("ifrkit.artifacts.manifest"), lazy("ifrkit.core.plugins")


def needs(what: str, config: EvalConfig) -> bool:
    """Whether one of the metrics asks for it: one of NEEDS of `ifrkit/metrics/base.py`."""
    return any(what in plugins.load("metrics", name).needs for name in config.metrics)


def evaluation(trained: store.Artifact) -> list[str]:
    """The words of the command that judges it, where its clips hold labels to judge by."""
    clips = trained.ancestor("clips")
    scored = clips is not None and clips.manifest.metrics.get("frames", {}).get("val", {}).get("labels")
    return ["eval", "--metric", "mIoU,TC"] if scored else []


def _extra_inputs(config: EvalConfig, inputs: list[store.Artifact], workspace: Path) -> list[store.Artifact]:
    """The flow artifact, when --flow names one."""
    if not needs("flows", config) or not flow_sources.is_artifact(config.flow):
        return []
    return [store.resolve(workspace, config.flow, ("flow",))]


def _flow_files(config: EvalConfig) -> str:
    """What a folder of .flo files holds; empty for any other source."""
    files = sorted(Path(config.flow).glob("**/*.flo")) if needs("flows", config) else []
    found = [(f.relative_to(config.flow).as_posix(), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return manifest.digest(found) if found else ""


STAGE = Stage(
    name="eval",
    kind="report",
    schema=2,
    config="ifrkit.config.evaluate:EvalConfig",
    run="ifrkit.stages._evaluate:run",
    help="Measure mIoU, temporal consistency and more.",
    order=60,
    needs=("video-model", "branches"),
    payload=("report.json", "records.npz", "*.png", "best/*.webp", "worst/*.webp", "clip.webp"),
    source_identity=_flow_files,
    extra_inputs=_extra_inputs,
    check="ifrkit.stages._judged:check",
    label=lambda config: "-".join([config.split, *config.metrics]),
    after=lambda report, workspace: ["report"],
)
