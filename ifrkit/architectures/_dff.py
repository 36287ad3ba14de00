"""Deep feature flow (Zhu et al., CVPR 2017) on the two-stage recipe of IFR.

The reference branch scores the key frame; every later frame takes these scores along one direct flow, no matter how far
the key frame is. A scale map, predicted with the flow, corrects their size where the warp is not to be trusted. What
travels are the scores at 1/4, not features: so do the authors of IFR, and the classifier runs on key frames only.

    S       = up2(reference(frame k))
    F, d    = flow(frame t, frame k)
    logits  = up4(warp(S, F) * (1 + W d))               W: 1x1 convolution, 0 at first, so the scale map starts as 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ifrkit.models import video
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import Network
from ifrkit.models.video import Phase, flow_input, size_of, whole
from ifrkit.models.warp import warp


class State(NamedTuple):
    """What streaming keeps of the key frame: its scores (b, k, h/4, w/4), and the frame as FlowNet saw it."""

    scores_bkhw: Tensor
    frame_b3hw: Tensor


class VideoModel(video.VideoModel):
    """The reference branch, flow, and the layer `scale` on FlowNet's last map. The update branch has no part in it."""

    def __init__(self, reference: Network, flow: FlowNetS, num_classes: int, seed: int = 0) -> None:
        super().__init__(reference, flow, num_classes)
        # The bias of the original, frozen at 1, is the 1 in `carry`.
        self.scale = nn.Conv2d(flow.decoded_channels, num_classes, 1, bias=False)
        nn.init.zeros_(self.scale.weight)

    def carry(self, scores_bkhw: Tensor, current_b3hw: Tensor, key_b3hw: Tensor) -> Tensor:
        """Scores of the key frame as those of the current one. Frames: as `flow_input` makes them."""
        flows, decoded = self.flow.decode(current_b3hw, key_b3hw)
        scale_bkhw: Tensor = 1 + self.scale(decoded)
        return warp(scores_bkhw, flows[0]) * scale_bkhw

    def forward_clip(self, frames_bt3hw: Tensor) -> Tensor:
        logits, state = self.start(frames_bt3hw[:, 0])
        return logits if frames_bt3hw.shape[1] == 1 else self.step(frames_bt3hw[:, -1], state)[0]

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, State]:
        with torch.no_grad():  # frozen, classifier and all
            scores = self.seen(self.reference, key_b3hw)
        return whole(scores, size_of(key_b3hw)), State(scores, flow_input(key_b3hw))

    def step(self, frame_b3hw: Tensor, state: State) -> tuple[Tensor, State]:
        carried = self.carry(state.scores_bkhw, flow_input(frame_b3hw), state.frame_b3hw)
        return whole(carried, size_of(frame_b3hw)), state

    def phases(self) -> Sequence[Phase]:
        """Trained: FlowNet with its scale layer, on pairs at a random distance."""
        return [Phase("model", (self.flow, self.scale), self.clip_cross_entropy, frames=2)]
