"""Accel (Jain et al., CVPR 2019) as IFR's released code trains it, in two stages.

The reference branch scores the key frame; FlowNet carries the scores from frame to frame; on every frame the light
update branch scores the frame itself, and a 1x1 convolution fuses both. All of it happens at 1/4 of the image.

    S_0     = up2(reference(frame 0))                   scores of the key frame
    S_i     = warp(S_{i-1}, flow(frame i, frame i-1))   chained, one flow a step; never fed by the fused output
    U       = up2(update(frame t))
    logits  = up4(merge([S_t, U]))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ifrkit.models import video
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.layers import seeded
from ifrkit.models.network import Network
from ifrkit.models.video import Phase, flow_input, size_of, whole
from ifrkit.models.warp import warp


class State(NamedTuple):
    """What streaming carries: the propagated scores (b, k, h/4, w/4), and the last frame as FlowNet saw it."""

    scores_bkhw: Tensor
    frame_b3hw: Tensor


class VideoModel(video.VideoModel):
    """Reference and update branch, flow, and the fusion layer `merge` (reference scores first)."""

    def __init__(self, reference: Network, update: Network, flow: FlowNetS, num_classes: int, seed: int = 0) -> None:
        super().__init__(reference, flow, num_classes)
        self.update = update
        with seeded(seed):
            self.merge = nn.Conv2d(2 * num_classes, num_classes, 1)
            nn.init.xavier_normal_(self.merge.weight)
            assert self.merge.bias is not None
            nn.init.zeros_(self.merge.bias)

    def average_merge(self) -> None:
        """The fusion as the plain mean of both branches."""
        with torch.no_grad():
            eye = torch.eye(self.num_classes)
            self.merge.weight.copy_(torch.cat([eye, eye], 1)[:, :, None, None] / 2)

    # -- pieces, on inputs that are ready for their network --

    def propagate(self, scores_bkhw: Tensor, frames_bt3hw: Tensor) -> Tensor:
        """Scores of frame 0 carried to the last frame, one warp a step. frames: as `flow_input` makes them."""
        for current, earlier in _neighbours(frames_bt3hw):
            scores_bkhw = warp(scores_bkhw, self.flow(current, earlier))
        return scores_bkhw

    def fuse(self, carried_bkhw: Tensor, update_bkhw: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits (b, k, h, w) at full size."""
        return whole(self.merge(torch.cat([carried_bkhw, update_bkhw], 1)), size)

    def forward_released(self, seg_bt3hw: Tensor, flow_bt3hw: Tensor) -> Tensor:
        """The released forward pass, with the frames as each network reads them."""
        carried = self.propagate(self.scores(self.reference, seg_bt3hw[:, 0]), flow_bt3hw)
        return self.fuse(carried, self.scores(self.update, seg_bt3hw[:, -1]), size_of(seg_bt3hw))

    # -- the contract --

    def forward_clip(self, frames_bt3hw: Tensor) -> Tensor:
        logits, state = self.start(frames_bt3hw[:, 0])
        if frames_bt3hw.shape[1] == 1:
            return logits
        carried = self.propagate(state.scores_bkhw, flow_input(frames_bt3hw))
        return self.fuse(carried, self.seen(self.update, frames_bt3hw[:, -1]), size_of(frames_bt3hw))

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, State]:
        """At a key frame the reference branch stands alone."""
        scores = self.seen(self.reference, key_b3hw)
        return whole(scores, size_of(key_b3hw)), State(scores, flow_input(key_b3hw))

    def step(self, frame_b3hw: Tensor, state: State) -> tuple[Tensor, State]:
        now = flow_input(frame_b3hw)
        carried = warp(state.scores_bkhw, self.flow(now, state.frame_b3hw))
        logits = self.fuse(carried, self.seen(self.update, frame_b3hw), size_of(frame_b3hw))
        return logits, State(carried, now)

    def phases(self) -> Sequence[Phase]:
        """Trained: FlowNet, merge and both classifiers, as in the released `accel.py`."""
        classifiers = self.reference.decode_head.conv_seg, self.update.decode_head.conv_seg
        return [Phase("model", (self.flow, self.merge, *classifiers), self.clip_cross_entropy)]


def _neighbours(frames_bt3hw: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for i in range(1, frames_bt3hw.shape[1]):
        yield frames_bt3hw[:, i], frames_bt3hw[:, i - 1]
