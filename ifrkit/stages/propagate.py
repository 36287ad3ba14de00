"""propagate: the labels of a few frames in the frames around them, by flow and by the trained network together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage

if TYPE_CHECKING:
    from ifrkit import flow_sources
    from ifrkit.artifacts import store
    from ifrkit.config.propagate import PropagateConfig
else:
    flow_sources, store = lazy("ifrkit.flow_sources"), lazy("ifrkit.artifacts.store")


def _extra_inputs(config: PropagateConfig, inputs: list[store.Artifact], workspace: Path) -> list[store.Artifact]:
    """The flow artifact, when --flow names one."""
    return [store.resolve(workspace, config.flow, ("flow",))] if flow_sources.is_artifact(config.flow) else []


STAGE = Stage(
    name="propagate",
    kind="pseudo-labels",
    config="ifrkit.config.propagate:PropagateConfig",
    run="ifrkit.stages._propagate:run",
    help="Carry the labels of a few frames to the frames around them.",
    order=35,
    needs=("branches",),
    payload=("pseudo.json", "provenance.json", "labels-*.h5", "*/*"),
    accepts=("clips",),
    resumable=True,
    extra_inputs=_extra_inputs,
    check="ifrkit.stages._propagate_check:check",
    label=lambda config: f"propagated-{config.reach}",
    after=lambda labels, workspace: ["train-branches", "--ssl", "self-training"],
)
