"""Which clips and frames `eval` scores, and what it refuses before it predicts one."""

from __future__ import annotations

from pathlib import Path

from ifrkit.artifacts.indexes import Branches, VideoModel
from ifrkit.artifacts.job import input_of
from ifrkit.artifacts.store import Artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import spelled
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.scored import scored_frames
from ifrkit.flow_sources import flow_source
from ifrkit.flow_sources.base import FlowSource
from ifrkit.flow_sources.truth import require_truth
from ifrkit.stages.evaluate import needs


def check(config: EvalConfig, inputs: list[Artifact]) -> None:
    """The split has clips, its frames have what the options ask for, and the flow is there."""
    store = ClipStore.of(input_of(inputs, "clips"))
    clips_to_score(config, store, inputs[0])
    source_of(config, store, inputs)


def clips_to_score(config: EvalConfig, store: ClipStore, source: Artifact) -> list[int]:
    """The clips of the split; of train only those whose label training saw. Raises ConfigError if there are none."""
    clips = store.clips_of(config.split)
    if config.split == "train":
        if config.label_size == "full":
            raise ConfigError("label_size=full: training clips keep no full-size labels", "use --split val or test")
        index = Branches if source.kind == "branches" else VideoModel
        labeled = set(index.read(source).labeled)
        clips = [clip for clip in clips if store.clips[clip].name in labeled]
    if not clips:
        counts = ", ".join(f"{s} {len(store.clips_of(s))}" for s in ("train", "val", "test"))
        raise ConfigError(f"--split {config.split}: {store.name} has no such clips", f"clips there are: {counts}")
    longest = max((max(scored_frames(store.clips[c], config.frames), default=-1) + 1 for c in clips), default=0)
    if config.distances > longest:
        fault = f"--distances {config.distances}: no scored frame has so many frames before it"
        raise ConfigError(fault, f"at most {longest} for these clips")
    return clips


def source_of(config: EvalConfig, store: ClipStore, inputs: list[Artifact]) -> FlowSource | None:
    """Where flow comes from; None if no metric warps. Raises ConfigError for one that these clips do not have."""
    if not needs("flows", config):
        return None
    given: Path | None = next((artifact.path for artifact in inputs[1:] if artifact.kind == "flow"), None)
    if given is None and spelled(config.flow) == "truth":
        require_truth(store)
    return flow_source(config.flow, given)
