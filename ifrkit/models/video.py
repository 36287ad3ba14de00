"""The model of a video architecture. It owns its branches (which normalise, each for itself), flow and the rest.

The pieces that several architectures share stand here, too: scores at 1/4, the input of FlowNet, the last resize.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.models.cells import enlarged
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.losses import cross_entropy
from ifrkit.models.network import Network

Losses = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""Frames uint8 (b, t, 3, h, w), oldest first, and the label int64 (b, h, w) of the last (255 = ignore) -> terms."""


@dataclass(frozen=True)
class Phase:
    """One training of an architecture; most have one. All else than `parts` is frozen, in eval mode.

    name: of its weights and event log; the last phase is called "model". parts: what trains. losses: of a clip; the
    weighted terms are added. frames: 0 for the run from the key frame to the label; n for the labeled frame and n - 1
    frames before it, in order, drawn at random. optimizer: with which of the two configs it trains.
    """

    name: str
    parts: tuple[nn.Module, ...]
    losses: Losses
    frames: int = 0
    optimizer: Literal["sgd", "adam"] = "sgd"


class VideoModel(nn.Module):
    """A key frame is segmented by the reference branch; its result is propagated and corrected frame by frame.

    Each architecture subclasses it (ifrkit/architectures/base.py). Its constructor takes each branch that the
    architecture names, then (flow, num_classes, seed). Frames are uint8 RGB, (b, 3, h, w).
    """

    temperature: float = 1.0
    """softmax(logits / temperature) is the probability: fitted on held-out labels after training."""

    def __init__(self, reference: Network, flow: FlowNetS, num_classes: int) -> None:
        super().__init__()
        self.reference, self.flow, self.num_classes = reference, flow, num_classes

    @abstractmethod
    def forward_clip(self, frames_bt3hw: Tensor) -> Tensor:
        """Logits (b, k, h, w) of the last frame; the first frame is the key frame (t = 1: the frame is the key)."""

    @abstractmethod
    def start(self, key_b3hw: Tensor) -> tuple[Tensor, Any]:
        """Begin at a key frame: its logits (b, k, h, w), and the state for `step`."""

    @abstractmethod
    def step(self, frame_b3hw: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The next frame: logits (b, k, h, w) and the new state. Chaining steps equals `forward_clip`."""

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """What is trained in stage two, in order."""

    def average_merge(self) -> None:
        """Start the fusion of both branches as their plain mean instead of random (for short schedules)."""

    def train_phase(self, phase: Phase) -> None:
        """Freeze and set modes: frozen parts in eval mode (batch norm, dropout), the parts of the phase in train."""
        self.requires_grad_(False)
        self.eval()
        for part in phase.parts:
            part.requires_grad_(True)
            part.train()

    def clip_cross_entropy(self, frames_bt3hw: Tensor, label_bhw: Tensor) -> dict[str, Tensor]:
        """The loss of most architectures, as in IFR's Accel: of the last frame, the mean over labeled pixels."""
        return {"ce": cross_entropy(self.forward_clip(frames_bt3hw), label_bhw, "valid")}

    def seen(self, branch: Network, frame_b3hw: Tensor) -> Tensor:
        """`scores` of a frame, normalised as this branch wants it (the other one may want it otherwise)."""
        return self.scores(branch, branch.normalise(frame_b3hw))

    def scores(self, branch: Network, seg_b3hw: Tensor) -> Tensor:
        """Scores (b, k, ceil(h/4), ceil(w/4)) of one branch. Only its classifier ever trains, as in IFR."""
        with torch.no_grad():
            f_bchw = branch.features(seg_b3hw)
        return enlarged(branch.classify(f_bchw), branch.stride, quarter(seg_b3hw), step=4)


def flow_input(frames_b3hw: Tensor) -> Tensor:
    """uint8 RGB -> what FlowNet reads: float32 BGR in 0..1."""
    return frames_b3hw.flip(-3).float() / 255


def size_of(frames: Tensor) -> tuple[int, int]:
    """(height, width) of images."""
    return frames.shape[-2], frames.shape[-1]


def quarter(frames: Tensor) -> tuple[int, int]:
    """(height, width) of the maps that are propagated."""
    h, w = size_of(frames)
    return -(-h // 4), -(-w // 4)


def whole(maps_bchw: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps at 1/4 as (b, c, height, width)."""
    return enlarged(maps_bchw, 4, size)


def resize(maps_bchw: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear to (height, width)."""
    return F.interpolate(maps_bchw, size, mode="bilinear", align_corners=False)
