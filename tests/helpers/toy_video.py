"""A video model of a few layers, with everything in it that is hard to export, and the ways to look at its graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.export.formats import SUFFIX, write
from ifrkit.export.graphs import graphs, without_adaptive_pooling
from ifrkit.export.runtime import ExportedModel, open_graph
from ifrkit.models.layers import seeded
from ifrkit.models.normalisation import IMAGENET
from ifrkit.models.warp import warp

CLASSES = 5
OPEN = ("batch", "height", "width")


class State(NamedTuple):
    """Carried scores, and the key frame as it is."""

    scores_bkhw: Tensor
    key_b3hw: Tensor


class ToyVideo(nn.Module):
    """Sizes rounded up, pooling to cells that do not divide the map, warps, and a state of which a part stays."""

    def __init__(self) -> None:
        super().__init__()
        with seeded(3):
            self.heavy, self.light = nn.Conv2d(3, CLASSES, 3, 8, 1), nn.Conv2d(3, CLASSES, 3, 8, 1)
            self.pool, self.motion = nn.AdaptiveAvgPool2d(3), nn.Conv2d(6, 2, 3, 4, 1)
        self.motion.weight.data *= 20

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, State]:
        scores = self._quarter(self.heavy, key_b3hw)
        return _to(scores, key_b3hw.shape[2:]), State(scores, key_b3hw)

    def step(self, frame_b3hw: Tensor, state: State) -> tuple[Tensor, State]:
        flow = self.motion(torch.cat([frame_b3hw, state.key_b3hw], 1).float() / 255)
        carried = warp(state.scores_bkhw, _to(flow, state.scores_bkhw.shape[2:]))
        logits = carried + self._quarter(self.light, frame_b3hw)
        return _to(logits, frame_b3hw.shape[2:]), State(carried, state.key_b3hw)

    def _quarter(self, layer: nn.Module, frame_b3hw: Tensor) -> Tensor:
        x = layer(IMAGENET(frame_b3hw))
        x = x + _to(self.pool(x), x.shape[2:])
        h, w = frame_b3hw.shape[2:]
        return _to(x, (-(-h // 4), -(-w // 4)))


def _to(x: Tensor, size: Any) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def exported(directory: Path, format: str, dynamic: tuple[str, ...] = OPEN) -> ExportedModel:
    """ToyVideo's graphs, written to files and opened again. Where it is not dynamic, the size is (45, 61)."""
    model: Any = ToyVideo().eval().requires_grad_(False)
    model = without_adaptive_pooling(model) if format == "onnx" else model
    runs = []
    for graph in graphs("toy", model, (45, 61), dynamic):
        path = directory / f"{graph.name}{SUFFIX[format]}"
        write(graph, path, {"classes": ["a", "b"], "graph": graph.name})
        runs.append(open_graph(path))
    return ExportedModel(*runs)
