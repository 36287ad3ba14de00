"""What `propagate` refuses before it reads a frame: which labels may be seen, who speaks, where flow comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.artifacts.indexes import Branches, require_branch
from ifrkit.artifacts.job import input_of
from ifrkit.artifacts.store import Artifact
from ifrkit.config.propagate import PropagateConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.data.store.clips import ClipStore
from ifrkit.flow_sources import flow_source
from ifrkit.flow_sources.base import FlowSource

if TYPE_CHECKING:
    from ifrkit.labels import base as labels
else:
    labels = lazy("ifrkit.labels.base")


def check(config: PropagateConfig, inputs: list[Artifact]) -> None:
    """There is a label to carry, a network where one is asked for, and flow between any two frames."""
    given = inputs[0]
    if not visible_labels(ClipStore.of(input_of(inputs, "clips")), given):
        raise ConfigError(f"{given.path}: no training clip has a label that may be seen", "label a frame first")
    if given.kind == "branches":
        if config.branch is not None:
            require_branch(given, config.branch)
    elif config.branch is not None or config.beyond == "network":
        option = "--branch" if config.branch is not None else "beyond=network"
        raise ConfigError(f"{option}: {given.path} holds no network", "name branches with --from")
    flow_of(config, inputs)
    for name in config.write:
        labels.writer_of(name)


def visible_labels(store: ClipStore, given: Artifact) -> dict[str, tuple[int, int]]:
    """Name -> clip and position of the labels that may be seen: those that the branches learned from, else all."""
    names = set(Branches.read(given).labeled) if given.kind == "branches" else None
    clips = (c for c in store.clips_of("train") if names is None or store.clips[c].name in names)
    return {store.clips[c].frames[i]: (c, i) for c in clips for i in store.clips[c].labeled}


def flow_of(config: PropagateConfig, inputs: list[Artifact]) -> FlowSource:
    """Where flow comes from. Raises ConfigError for a source that knows neighbours alone."""
    path: Path | None = next((artifact.path for artifact in inputs[1:] if artifact.kind == "flow"), None)
    source = flow_source(config.flow, path)
    if not source.any_frames:
        fault = f"--flow {config.flow}: it knows the flow of neighbours in their order alone"
        raise ConfigError(fault, "use dis, or a flow artifact")
    return source
