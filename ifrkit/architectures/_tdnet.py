"""TDNet (Hu et al., CVPR 2020), temporally distributed networks, with four sub-networks (TD4).

The features of a deep network are made of those of several shallow ones, and frames of a video take turns: each frame
goes through one sub-network alone, and joins what the other ones saw in the frames before it. Nothing is warped;
attention finds where the content went (`ifrkit/models/subnetworks.py`).

    frame         t-3   t-2   t-1    t
    sub-network    2     3     0     1     attention hands values on, from frame to frame; head 1 classifies frame t

Every sub-network starts as a copy of the update branch. The reference branch takes no part in predictions: it is the
frozen teacher of grouped knowledge distillation. Every frame costs the same, so there is no key frame; what begins a
stream goes through all four sub-networks, as if the frames before it had looked like it. (The released code answers
with one sub-network alone until three frames have come.) Flow serves `predict --key-policy adaptive` alone.

Each step trains all four turns, where the released code trains one after the other. The teacher's groups are those of
the channels of its feature f; the released teacher splits the input of its last convolution. Layer norm has a scale for
each channel instead of one for each position, so that any size fits. Dropout, hard-example mining and the auxiliary
loss inside the backbone are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32
from ifrkit.models import video
from ifrkit.models.cells import enlarged
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.layers import seeded
from ifrkit.models.losses import cross_entropy
from ifrkit.models.network import Network
from ifrkit.models.subnetworks import Earlier, SubNetwork
from ifrkit.models.video import Phase, resize, size_of

COUNT = 4
"""Sub-networks."""
ALONE = 0.5
"""Weight of both losses of a sub-network by itself, in the released code."""


class State(NamedTuple):
    """What streaming carries: whose turn it was, and what is kept of the last three frames, the oldest first."""

    turn: int
    earlier: tuple[Earlier, ...]


class VideoModel(video.VideoModel):
    """The sub-networks, and the reference branch that teaches them."""

    def __init__(self, reference: Network, update: Network, flow: FlowNetS, num_classes: int, seed: int = 0) -> None:
        super().__init__(reference, flow, num_classes)
        with seeded(seed):
            self.subnetworks = nn.ModuleList(SubNetwork(update, num_classes, COUNT) for _ in range(COUNT))

    # -- the contract --

    def forward_clip(self, frames_bt3hw: Tensor) -> Tensor:
        window, turn = _window(frames_bt3hw), (frames_bt3hw.shape[1] - 1) % COUNT
        *before, own = (self._sub(i).features(frame) for i, frame in zip(_order(turn), window, strict=True))
        earlier = [self._sub(i).kept(f) for i, f in zip(_order(turn), before, strict=False)]
        return self._sub(turn).whole(own, earlier, size_of(frames_bt3hw))

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, State]:
        """All sub-networks see the frame."""
        *others, own = (self._sub(i).features(key_b3hw) for i in _order(0))
        earlier = tuple(self._sub(i).kept(f) for i, f in zip(_order(0), others, strict=False))
        logits = self._sub(0).whole(own, earlier, size_of(key_b3hw))
        return logits, State(0, (*earlier[1:], self._sub(0).kept(own)))

    def step(self, frame_b3hw: Tensor, state: State) -> tuple[Tensor, State]:
        turn = (state.turn + 1) % COUNT
        network = self._sub(turn)
        own = network.features(frame_b3hw)
        logits = network.whole(own, state.earlier, size_of(frame_b3hw))
        return logits, State(turn, (*state.earlier[1:], network.kept(own)))

    def phases(self) -> Sequence[Phase]:
        """All of the sub-networks, on the run of frames that ends at the label."""
        return [Phase("model", (self.subnetworks,), self.distilled_losses)]

    # -- losses --

    def distilled_losses(self, frames_bt3hw: Tensor, label_bhw: Tensor) -> dict[str, Tensor]:
        """The mean over turns of: cross entropy and distance to the teacher, and half of both for sub-networks alone.

        L = CE(p, y) + CE(p_i, y) / 2 + KL(T || p) + KL(T_i || p_i) / 2, where p_i is of the sub-features of the
        network i whose turn it is, and T_i what the teacher sees by the i-th group of its channels.
        """
        window, last = _window(frames_bt3hw), frames_bt3hw[:, -1]
        together = torch.cat(window)
        features = [self._sub(i).features(together).chunk(COUNT) for i in range(COUNT)]
        whole, groups = self.teacher(last)
        ce, distance = [], []
        for turn in range(COUNT):
            order = _order(turn)
            earlier = [self._sub(i).kept(features[i][j]) for j, i in enumerate(order[:-1])]
            scores, stride = self._sub(turn).scores(features[turn][-1], earlier), self._sub(turn).trunk.stride
            for share, logits, taught in zip((1.0, ALONE), scores, (whole, groups[turn]), strict=True):
                ce.append(share * cross_entropy(enlarged(logits, stride, size_of(last)), label_bhw, "valid"))
                distance.append(share * divergence(taught, logits))
        return {"ce": torch.stack(ce).sum() / COUNT, "distilled": torch.stack(distance).sum() / COUNT}

    @torch.no_grad()
    def teacher(self, frame_b3hw: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of the reference branch: T, and T_i of each group of its channels alone, times their number."""
        f_bchw = self.reference.features(self.reference.normalise(frame_b3hw))
        group_c = torch.arange(f_bchw.shape[1], device=f_bchw.device) * COUNT // f_bchw.shape[1]
        parts = [COUNT * f_bchw * (group_c == i)[:, None, None] for i in range(COUNT)]
        whole, *groups = (self.reference.decode_head.conv_seg(f) for f in (f_bchw, *parts))
        return whole, groups

    def _sub(self, index: int) -> SubNetwork:
        network = self.subnetworks[index]
        assert isinstance(network, SubNetwork)
        return network


def divergence(teacher_bkhw: Tensor, student_bkhw: Tensor) -> Tensor:
    """KL(teacher || student) of logits, the mean over the student's pixels; the teacher's map is resized to them."""
    teacher = resize(at_least_float32(teacher_bkhw), size_of(student_bkhw)).log_softmax(1)
    student = at_least_float32(student_bkhw).log_softmax(1)
    return F.kl_div(student, teacher.to(student.dtype), reduction="none", log_target=True).sum(1).mean()


def _window(frames_bt3hw: Tensor) -> list[Tensor]:
    """The last four frames, the oldest first; where there are fewer, the first one stands for those before it."""
    last = frames_bt3hw.shape[1] - 1
    return [frames_bt3hw[:, max(0, i)] for i in range(last - COUNT + 1, last + 1)]


def _order(turn: int) -> list[int]:
    """Which sub-network sees each frame of a window, where it is the last one's turn."""
    return [(turn + 1 + i) % COUNT for i in range(COUNT)]
