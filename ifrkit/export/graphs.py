"""What is exported: the steps of the streaming form (`ifrkit/models/video.py`) as functions of tensors.

    frame                  uint8 RGB (batch, 3, height, width); normalisation is inside
    logits                 divided by the temperature: their softmax is a probability
    key step               frame -> logits, state
    update step            frame, state -> logits, next state
    branch                 frame -> logits

The state is what the architecture carries from frame to frame, one tensor a field of its NamedTuple.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ifrkit.core.errors import ConfigError
from ifrkit.models.network import Network
from ifrkit.models.video import VideoModel

M = TypeVar("M", bound=nn.Module)

AXES = {0: "batch", 2: "height", 3: "width"}
"""Dimensions of a map that may be dynamic."""
SMALLEST = 65
"""Dynamic heights and widths may not be smaller. The last maps of FlowNet (1/64) would have one row or column, and
for a size of one torch.export makes another program than for all larger ones."""
TRACED = (75, 101)
"""Height and width of the images that dynamic graphs are traced with: odd ones, or a model would be traced that does
not fill images up to whole cells and cuts nothing off, and the graph would be wrong for other sizes."""


@dataclass(frozen=True)
class Graph:
    """One function to export. module: tensors -> tuple of tensors. example: inputs, batch 2 (or 1 where it is fixed).

    dynamic: names of the dimensions that are left open ("batch", "height", "width").
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: tuple[Tensor, ...]
    dynamic: tuple[str, ...]

    def open(self, x: Tensor) -> dict[int, str]:
        """The open dimensions of an input: "height" where it has as many rows as the frame, else a name of its own."""
        sides = self.example[0].shape
        named = {d: a for d, a in AXES.items() if a in self.dynamic and d < x.ndim}
        return {d: a if x.shape[d] == sides[d] else f"small_{a}" for d, a in named.items()}

    def shape(self, x: Tensor) -> list[int | str]:
        """The shape of an input or output for a reader: numbers, "batch", "height", "ceil(height/4)"."""
        return [_side(n, self.example[0].shape[d], AXES[d]) if AXES.get(d) in self.dynamic else n
                for d, n in enumerate(x.shape)]  # fmt: skip


def _side(n: int, full: int, name: str) -> str:
    if n == full:
        return name
    divisor = next((r for r in (2, 4, 8, 16, 32) if n == -(-full // r)), None)
    return f"ceil({name}/{divisor})" if divisor else f"any ({name})"


class Branch(nn.Module):
    """A branch alone, in the streaming form: each frame is a key frame, and nothing is carried."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.temperature = network, network.temperature

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits (b, k, h, w), and no state."""
        return self.network(self.network.normalise(key_b3hw)), ()

    def step(self, frame_b3hw: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `start`."""
        return self.start(frame_b3hw)


class _Key(nn.Module):
    def __init__(self, model: Branch | VideoModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frame_b3hw: Tensor) -> tuple[Tensor, ...]:
        logits, state = self.model.start(frame_b3hw)
        return (calibrated(logits, self.model), *state)


class _Update(nn.Module):
    def __init__(self, model: VideoModel, state: Any) -> None:
        super().__init__()
        self.model, self.state = model, state

    def forward(self, frame_b3hw: Tensor, *carried: Tensor) -> tuple[Tensor, ...]:
        logits, state = self.model.step(frame_b3hw, self.state(*carried))
        return (calibrated(logits, self.model), *state)


def calibrated(logits: Tensor, model: Any) -> Tensor:
    """Logits over the temperature of their model, where it has one."""
    temperature = getattr(model, "temperature", 1.0)
    return logits if temperature == 1.0 else logits / temperature


def graphs(name: str, model: Branch | VideoModel, size: tuple[int, int], dynamic: tuple[str, ...]) -> Iterator[Graph]:
    """The graphs of a branch (one, called `name`) or of a video model (key-step and update-step).

    size: (height, width), where it is not dynamic.
    """
    frame = torch.zeros(2 if "batch" in dynamic else 1, 3, *(TRACED if "height" in dynamic else size)).byte()
    with torch.no_grad():
        _, state = model.start(frame)
    if isinstance(model, Branch):
        yield Graph(name, _Key(model), ("frame",), ("logits",), (frame,), dynamic)
        return
    fields = _fields(state)
    yield Graph("key-step", _Key(model), ("frame",), ("logits", *fields), (frame,), dynamic)
    after = tuple(f"next_{field}" for field in fields)
    # Copies: torch.export takes inputs that are one tensor for one input.
    inputs, example = ("frame", *fields), (frame, *(x.clone() for x in state))
    yield Graph("update-step", _Update(model, type(state)), inputs, ("logits", *after), example, dynamic)


def normalisation(models: Mapping[str, Branch | VideoModel]) -> dict[str, Any]:
    """How the graphs of these models normalise their frames, in plain values; where networks differ, each by its name.

    A network's name is that of its branch: of its model, or of its part in a video model.
    """
    found = {
        (name if isinstance(model, Branch) else part): network.normalisation.describe()
        for name, model in models.items()
        for part, network in model.named_modules()
        if isinstance(network, Network)
    }
    rules = list(found.values())
    same = all(rule == rules[0] for rule in rules)
    return {"inside": True, **(rules[0] if same else {"networks": found})}


def _fields(state: Any) -> Sequence[str]:
    names: Sequence[str] = getattr(state, "_fields", ())
    if not names or not all(isinstance(x, Tensor) for x in state):
        raise ConfigError("this architecture's state is not a NamedTuple of tensors", "only such ones can be exported")
    return names


class Pool(nn.Module):
    """Adaptive average pooling of maps (b, c, h, w) to (b, c, cells, cells) as two matrix products.

    ONNX has no adaptive pooling. Cell i of n covers rows floor(i h / n) to ceil((i + 1) h / n), as in torch; what
    differs is the order of the sum (1e-7 of the values).
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x_bchw: Tensor) -> Tensor:
        """See the class."""
        rows, columns = (self._means(x_bchw.shape[d], x_bchw) for d in (2, 3))
        return rows @ x_bchw @ columns.T

    def _means(self, size: int, like: Tensor) -> Tensor:
        """(cells, size): each row takes the mean over its cell."""
        cell = torch.arange(self.cells, device=like.device)[:, None]
        at = torch.arange(size, device=like.device)
        inside = (at >= cell * size // self.cells) & (at < ((cell + 1) * size + self.cells - 1) // self.cells)
        weights = inside.to(like.dtype)
        return weights / weights.sum(1, keepdim=True)


def without_adaptive_pooling(model: M) -> M:
    """A copy whose square adaptive poolings are matrix products."""
    model = copy.deepcopy(model)
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and isinstance(child.output_size, int):
                setattr(module, name, Pool(child.output_size))
    return model
