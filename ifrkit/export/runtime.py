"""Exported graphs with the streaming interface of the torch models: `start` at a key frame, then `step`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ifrkit.artifacts.indexes import Exported
from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.export.extra import extra
from ifrkit.export.formats import SUFFIX

Run = Callable[[Sequence[Tensor]], list[Tensor]]
"""Inputs of a graph in order -> its outputs."""


class ExportedModel:
    """A branch (update: None) or a video model. Frames are uint8 RGB (b, 3, h, w) on the CPU, as are all results."""

    temperature = 1.0
    """The graphs divide by that of their model themselves."""

    def __init__(self, key: Run, update: Run | None) -> None:
        self._key, self._update = key, update
        self.carries = update is not None
        """Whether there are key frames: a branch carries nothing from frame to frame."""

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits (b, k, h, w) of a key frame, and the state for `step`."""
        logits, *state = self._key([key_b3hw])
        return logits, tuple(state)

    def step(self, frame_b3hw: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits of the next frame and the new state; a branch carries nothing."""
        if self._update is None:
            return self.start(frame_b3hw)
        logits, *state_after = self._update([frame_b3hw, *state])
        return logits, tuple(state_after)


def open_exported(artifact: Artifact, branch: str | None = None) -> ExportedModel:
    """The model of an `exported` artifact in format onnx. branch: which of two (default: reference, if there is one).

    Raises ArtifactError for format torch: loading such a file may run code that a stranger put into it.
    """
    index = Exported.read(artifact)
    if index.format != "onnx":
        remedy = "ifrkit export --format onnx; torch.export.load opens it in your own program"
        raise ArtifactError(f"{artifact.path}: format {index.format} is not run by ifrkit", remedy)
    graphs = index.graphs
    video = "key-step" in graphs
    if video and branch is not None:
        raise ConfigError(f"branch {branch}: {artifact.path} is a video model, which uses both", "leave it out")
    name = "key-step" if video else branch or ("reference" if "reference" in graphs else next(iter(graphs)))
    if name not in graphs:
        raise ArtifactError(f"{artifact.path}: has no {name} branch (only {', '.join(graphs)})", "name another")
    key = open_graph(artifact.file(graphs[name].file))
    return ExportedModel(key, open_graph(artifact.file(graphs["update-step"].file)) if video else None)


def open_graph(path: Path) -> Run:
    """A graph that ifrkit wrote, ready to run. Open .pt2 only if you made it yourself: torch.export.load unpickles."""
    return _open_onnx(path) if path.suffix == SUFFIX["onnx"] else _open_torch(path)


def _open_torch(path: Path) -> Run:
    module = torch.export.load(path).module()
    return lambda inputs: list(module(*inputs))


def _open_onnx(path: Path) -> Run:
    runtime = extra("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # a failure raises; there is no need to draw it on the terminal, too
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        feeds: dict[str, Any] = {n: x.contiguous().numpy() for n, x in zip(names, inputs, strict=True)}
        return [torch.from_numpy(y) for y in session.run(None, feeds)]

    return run
