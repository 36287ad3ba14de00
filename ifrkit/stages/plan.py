"""plan: how fast each way to predict is on this machine, and how accurate, where reports say it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage
from ifrkit.stages import predict

if TYPE_CHECKING:
    from importlib import metadata

    from ifrkit.artifacts import manifest, store
    from ifrkit.config.plan import PlanConfig
    from ifrkit.core import machine
else:
    manifest, store = lazy("ifrkit.artifacts.manifest"), lazy("ifrkit.artifacts.store")
    metadata, machine = lazy("importlib.metadata"), lazy("ifrkit.core.machine")


def _identity(config: PlanConfig) -> str:
    """The machine, what runs the networks, and the video or size."""
    what = list(config.frame_size) if config.frame_size else predict.identity(config)
    return manifest.digest([machine.machine(), metadata.version("torch"), what])


def _extra_inputs(config: PlanConfig, inputs: list[store.Artifact], workspace: Path) -> list[store.Artifact]:
    """Branches of a video model, ONNX graphs of either, and the reports that say how accurate they are.

    Of graphs and reports that differ in nothing that counts here, the newest.
    """
    model = inputs[0]
    branches = model.ancestor("branches")
    own = [branches] if branches is not None and branches.id != model.id else []
    ids = {model.id, *(artifact.id for artifact in own)}
    graphs = {
        (made.manifest.inputs[0].id, made.manifest.config.get("int8")): made
        for made in store.artifacts(workspace, "exported")
        if made.manifest.inputs[0].id in ids and _is(made, format="onnx", checkpoint="best")
    }
    usual = {"split": "val", "frames": "annotated", "label_size": "store", "checkpoint": "best"}
    reports = {}
    for made in store.artifacts(workspace, "report"):
        if made.manifest.inputs[0].id in ids and _is(made, **usual):
            counts = ("metrics", "key_interval", "distances", "scale", "flow")
            reports[made.manifest.inputs[0].id, *(str(made.manifest.config.get(key)) for key in counts)] = made
    return [*own, *graphs.values(), *sorted(reports.values(), key=store.age)]


def _is(made: store.Artifact, **config: str) -> bool:
    return all(made.manifest.config.get(key) == value for key, value in config.items())


STAGE = Stage(
    name="plan",
    kind="plan",
    config="ifrkit.config.plan:PlanConfig",
    run="ifrkit.stages._plan:run",
    help="Measure which way to predict is best on this machine.",
    arguments="VIDEO_OR_SIZE",
    order=65,
    needs=("video-model", "branches"),
    payload=("plan.json",),
    source_identity=_identity,
    extra_inputs=_extra_inputs,
    check="ifrkit.stages._plan_check:check",
    label=predict.label,
)
