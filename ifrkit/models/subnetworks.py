"""Sub-networks of TDNet (Hu et al., CVPR 2020), each a shallow branch with its part of attention propagation.

Tokens are pixels of a map: (b, n, c), row by row.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32
from ifrkit.models.batch_norm import set_rule
from ifrkit.models.cells import enlarged
from ifrkit.models.layers import ConvBNReLU
from ifrkit.models.network import Network

DEPTH = 64
"""Channels of keys and queries."""
STRIDE = 3
"""Of earlier frames only every third pixel, in both directions, is attended to."""


class Earlier(NamedTuple):
    """What is kept of an earlier frame: keys and queries (b, n, 64), values (b, n, c)."""

    key_bnd: Tensor
    query_bnd: Tensor
    value_bnc: Tensor


class SubNetwork(nn.Module):
    """A copy of a branch without its classifier, its encoders, and the head for frames whose turn it is."""

    def __init__(self, branch: Network, num_classes: int, count: int) -> None:
        """count: of sub-networks; where it is this one's turn, so many less one frames lie before."""
        super().__init__()
        self.trunk = copy.deepcopy(branch)
        self.trunk.decode_head.conv_seg = nn.Identity()  # type: ignore[assignment]
        c = branch.feature_channels
        self.query, self.key, self.value = _projection(c), _projection(c), nn.Conv2d(c, c, 1)
        self.hops = nn.ModuleList(nn.Linear(c, c) for _ in range(count - 1))
        self.norm = nn.GroupNorm(c, c)
        self.head = nn.Sequential(ConvBNReLU(c, c, 3), nn.Conv2d(c, num_classes, 1))
        for part in (self.query, self.key, self.value, self.hops, self.head):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, a=1)
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)
            set_rule(part, "sync")

    def features(self, frames_b3hw: Tensor) -> Tensor:
        """Its sub-features (b, c, h/stride, w/stride) of uint8 RGB frames."""
        return self.trunk.features(self.trunk.normalise(frames_b3hw))

    def kept(self, f_bchw: Tensor) -> Earlier:
        """What later frames need of this one."""
        small_bchw = f_bchw[:, :, ::STRIDE, ::STRIDE]
        return Earlier(*(_tokens(part(small_bchw)) for part in (self.key, self.query, self.value)))

    def scores(self, f_bchw: Tensor, earlier: Sequence[Earlier]) -> tuple[Tensor, Tensor]:
        """Logits (b, k, h/stride, w/stride) of the frame with these sub-features: joined, and of these alone.

        earlier: of the frames before it, the oldest first. Attention propagation hands values on from frame to frame:

            u_1 = v_1;  u_i = phi_i(softmax(q_i k_{i-1}^T / sqrt(d)) u_{i-1}) + v_i;  logits = head(LN(u_n))
        """
        *hops, last = self.hops
        carried_bnc = earlier[0].value_bnc
        for hop, (before, now) in zip(hops, pairwise(earlier), strict=True):
            carried_bnc = hop(attend(now.query_bnd, before.key_bnd, carried_bnc)) + now.value_bnc
        value_bchw = self.value(f_bchw)
        joined_bnc = last(attend(_tokens(self.query(f_bchw)), earlier[-1].key_bnd, carried_bnc))
        joined_bchw = joined_bnc.transpose(1, 2).reshape(value_bchw.shape)
        joined, alone = (self.head(self.norm(x)) for x in (joined_bchw + value_bchw, value_bchw))
        return joined, alone

    def whole(self, f_bchw: Tensor, earlier: Sequence[Earlier], size: tuple[int, int]) -> Tensor:
        """The joined ones at the size of the frame: (b, k, h, w)."""
        return enlarged(self.scores(f_bchw, earlier)[0], self.trunk.stride, size)


def attend(query_bnd: Tensor, key_bmd: Tensor, value_bmc: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V: (b, n, c)."""
    alike_bnm = at_least_float32(query_bnd @ key_bmd.transpose(1, 2)) / math.sqrt(key_bmd.shape[2])
    return torch.matmul(alike_bnm.softmax(2).to(value_bmc.dtype), value_bmc)


def _projection(channels: int) -> nn.Sequential:
    first = nn.Conv2d(channels, DEPTH, 1), nn.BatchNorm2d(DEPTH), nn.LeakyReLU()
    return nn.Sequential(*first, nn.Conv2d(DEPTH, DEPTH, 1))


def _tokens(x_bchw: Tensor) -> Tensor:
    return x_bchw.flatten(2).transpose(1, 2)
