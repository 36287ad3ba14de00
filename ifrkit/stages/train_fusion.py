"""train-fusion: stage two. The branches, the flow network and what an architecture adds become a video model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.errors import ArtifactError
from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage
from ifrkit.stages.evaluate import evaluation

if TYPE_CHECKING:
    from ifrkit.artifacts import store
    from ifrkit.config.train_fusion import TrainFusionConfig
else:
    store = lazy("ifrkit.artifacts.store")


def _extra_inputs(config: TrainFusionConfig, inputs: list[store.Artifact], workspace: Path) -> list[store.Artifact]:
    """The named flow artifact, or the newest that was made from the same clips."""
    if config.flow is not None:
        return [store.resolve(workspace, config.flow, ("flow",))]
    clips = inputs[0].ancestor("clips") if inputs else None
    for artifact in reversed(list(store.artifacts(workspace, "flow"))):
        try:
            made_from = artifact.ancestor("clips")
        except ArtifactError:
            continue
        if clips is not None and made_from is not None and made_from.id == clips.id:
            return [store.open_artifact(artifact.path, workspace=workspace)]
    return []


STAGE = Stage(
    name="train-fusion",
    kind="video-model",
    config="ifrkit.config.train_fusion:TrainFusionConfig",
    run="ifrkit.train.stage_two:run",
    help="Train the video model: branches, flow and fusion.",
    order=50,
    needs=("branches",),
    payload=("model.json", "*.best.safetensors", "*.last.safetensors", "*.events.jsonl", "tensorboard/*"),
    resumable=True,
    extra_inputs=_extra_inputs,
    check="ifrkit.stages._train_fusion_check:check",
    label=lambda config: config.arch if config.ssl == "none" else f"{config.arch}-{config.ssl}",
    after=lambda model, workspace: evaluation(model),
)
