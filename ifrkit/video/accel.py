"""Accel (Jain et al., CVPR 2019) on the two-stage recipe of IFR (spec 5).

The reference branch scores the key frame; FlowNet carries the scores from frame to frame; on every frame the light
update branch scores anew, and a 1x1 convolution fuses both. All of it happens at 1/4 of the image.

    S_0     = up2(reference(frame 0))                   scores of the key frame
    S_i     = warp(S_{i-1}, flow(frame i, frame i-1))   chained, one flow a step; never fed by the fused output
    U       = up2(update(frame t))
    logits  = up4(merge([S_t, U]))
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.data.augment import normalise
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.layers import seeded
from ifrkit.models.network import Network
from ifrkit.models.warp import warp
from ifrkit.video import base


class State(NamedTuple):
    """What streaming carries: the propagated scores (b, k, h/4, w/4), and the last frame as FlowNet saw it."""

    scores_bkhw: Tensor
    frame_b3hw: Tensor


def flow_input(frames_b3hw: Tensor) -> Tensor:
    """uint8 RGB -> what FlowNet reads: float32 BGR in 0..1."""
    return frames_b3hw.flip(-3).float() / 255


class VideoModel(base.VideoModel):
    """Reference and update branch, flow, and the fusion layer `merge` (reference scores first)."""

    def __init__(self, reference: Network, update: Network, flow: FlowNetS, num_classes: int, seed: int = 0) -> None:
        super().__init__(reference, update, flow, num_classes)
        with seeded(seed):
            self.merge = nn.Conv2d(2 * num_classes, num_classes, 1)
            nn.init.xavier_normal_(self.merge.weight)
            assert self.merge.bias is not None
            nn.init.zeros_(self.merge.bias)

    def average_merge(self) -> None:
        """Start the fusion as the plain mean of both branches instead of random (for short schedules)."""
        with torch.no_grad():
            eye = torch.eye(self.num_classes)
            self.merge.weight.copy_(torch.cat([eye, eye], 1)[:, :, None, None] / 2)

    # -- pieces, on inputs that are ready for their network --

    def scores(self, branch: Network, seg_b3hw: Tensor) -> Tensor:
        """Scores (b, k, ceil(h/4), ceil(w/4)) of one branch. Only its classifier ever trains (spec 5.4)."""
        with torch.no_grad():
            f_bchw = branch.features(seg_b3hw)
        return F.interpolate(branch.classify(f_bchw), _quarter(seg_b3hw), mode="bilinear", align_corners=False)

    def propagate(self, scores_bkhw: Tensor, frames_bt3hw: Tensor) -> Tensor:
        """Scores of frame 0 carried to the last frame, one warp a step. frames: as `flow_input` makes them."""
        for current, earlier in _neighbours(frames_bt3hw):
            scores_bkhw = warp(scores_bkhw, self.flow(current, earlier))
        return scores_bkhw

    def fuse(self, carried_bkhw: Tensor, update_bkhw: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits (b, k, h, w) at full size."""
        return _upsample(self.merge(torch.cat([carried_bkhw, update_bkhw], 1)), size)

    def forward_released(self, seg_bt3hw: Tensor, flow_bt3hw: Tensor) -> Tensor:
        """The released forward pass, with the frames as each network reads them."""
        carried = self.propagate(self.scores(self.reference, seg_bt3hw[:, 0]), flow_bt3hw)
        return self.fuse(carried, self.scores(self.update, seg_bt3hw[:, -1]), _size(seg_bt3hw))

    # -- the contract --

    def forward_clip(self, frames_bt3hw: Tensor) -> Tensor:
        logits, state = self.start(frames_bt3hw[:, 0])
        if frames_bt3hw.shape[1] == 1:
            return logits
        carried = self.propagate(state.scores_bkhw, flow_input(frames_bt3hw))
        return self.fuse(carried, self.scores(self.update, normalise(frames_bt3hw[:, -1])), _size(frames_bt3hw))

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, State]:
        """At a key frame the reference branch stands alone."""
        scores = self.scores(self.reference, normalise(key_b3hw))
        return _upsample(scores, _size(key_b3hw)), State(scores, flow_input(key_b3hw))

    def step(self, frame_b3hw: Tensor, state: State) -> tuple[Tensor, State]:
        now = flow_input(frame_b3hw)
        carried = warp(state.scores_bkhw, self.flow(now, state.frame_b3hw))
        logits = self.fuse(carried, self.scores(self.update, normalise(frame_b3hw)), _size(frame_b3hw))
        return logits, State(carried, now)

    def train_stage(self) -> None:
        """Trained: FlowNet, merge and both classifiers. Everything else is frozen, in eval mode (no dropout)."""
        self.requires_grad_(False)
        self.eval()
        for part in (self.flow, self.merge, self.reference.decode_head.conv_seg, self.update.decode_head.conv_seg):
            part.requires_grad_(True)


def _neighbours(frames_bt3hw: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for i in range(1, frames_bt3hw.shape[1]):
        yield frames_bt3hw[:, i], frames_bt3hw[:, i - 1]


def _size(frames: Tensor) -> tuple[int, int]:
    return frames.shape[-2], frames.shape[-1]


def _quarter(frames: Tensor) -> tuple[int, int]:
    h, w = _size(frames)
    return -(-h // 4), -(-w // 4)


def _upsample(scores_bkhw: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(scores_bkhw, size, mode="bilinear", align_corners=False)
