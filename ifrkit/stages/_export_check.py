"""What `export` refuses before it loads a network."""

from __future__ import annotations

from ifrkit.artifacts.job import input_of
from ifrkit.artifacts.store import Artifact
from ifrkit.config.export import ExportConfig
from ifrkit.core.errors import ConfigError
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.scored import held_out
from ifrkit.export.extra import require_onnx


def check(config: ExportConfig, inputs: list[Artifact]) -> None:
    """What writes the graphs is installed, and int8 graphs can be judged."""
    if config.format == "onnx":
        require_onnx()
    if config.int8 and not held_out(store := ClipStore.of(input_of(inputs, "clips"))):
        fault = f"--int8: {store.name} has no held-out label, so nobody could say what it costs"
        raise ConfigError(fault, "label a frame of a validation video, or export without --int8")
