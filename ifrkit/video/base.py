"""What a video architecture defines. It owns its branches, the flow network and the fusion, and their normalisation."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import Network


class VideoModel(nn.Module):
    """A key frame is segmented by the reference branch; its result is propagated and corrected frame by frame.

    Subclass it as `VideoModel` in `ifrkit/video/NAME.py`. Frames are uint8 RGB, (b, 3, h, w).
    """

    def __init__(self, reference: Network, update: Network, flow: FlowNetS, num_classes: int) -> None:
        super().__init__()
        self.reference, self.update, self.flow, self.num_classes = reference, update, flow, num_classes

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
    def train_stage(self) -> None:
        """Freeze and set modes for stage two: frozen parts in eval mode (batch norm, dropout), the rest in train."""
