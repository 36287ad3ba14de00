"""DAVSS (Zhuang et al., 2020), distortion-aware feature correction, on the recipe of IFR.

The scores of the key frame are carried along the flow, frame by frame, and the key image with them. Where the carried
image no longer looks like the current one, the warp went wrong: there the scores of a light network, which sees the
current image, take over. The corrected scores are never carried on.

    P_i, A_i = warp(P_{i-1}, F_i), warp(A_{i-1}, F_i)       P_0 = up2(reference(frame 0)), A_0 = frame 0 at 1/4
    D        = up4(distortion(A_t, frame t at 1/4))         in 0..1
    logits   = up4(P_t) * (1 - D) + up4(correction(frame t)) * D

It is trained in two phases, both on three frames of a clip, the last one labeled: first the distortion network, which
learns where the carried classes differ from those of the reference branch; then flow and correction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ifrkit.core.precision import at_least_float32
from ifrkit.core.records import IGNORE
from ifrkit.models import video
from ifrkit.models.batch_norm import set_rule
from ifrkit.models.correction import CorrectionNet, DistortionNet
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.layers import seeded
from ifrkit.models.losses import cross_entropy
from ifrkit.models.network import Network
from ifrkit.models.video import Phase, flow_input, quarter, resize, size_of, whole
from ifrkit.models.warp import warp

FLOW_WIDTH = 0.375
"""FlowNetS is released at this width beside a correction network of width 1; they are scaled together."""


class State(NamedTuple):
    """What streaming carries: scores (b, k, h/4, w/4) and image (b, 3, h/4, w/4) of the key frame, and the last frame.

    The image is normalised as for the reference branch; the last frame is as FlowNet saw it.
    """

    scores_bkhw: Tensor
    image_b3hw: Tensor
    frame_b3hw: Tensor


class VideoModel(video.VideoModel):
    """The reference branch, flow, distortion and correction. The update branch has no part in it."""

    def __init__(self, reference: Network, flow: FlowNetS, num_classes: int, seed: int = 0) -> None:
        super().__init__(reference, flow, num_classes)
        with seeded(seed):
            self.distortion = DistortionNet()
            self.correction = CorrectionNet(num_classes, flow.width / FLOW_WIDTH)
        set_rule(self.distortion, "sync")
        set_rule(self.correction, "sync")

    # -- the contract --

    def forward_clip(self, frames_bt3hw: Tensor) -> Tensor:
        logits, state = self.start(frames_bt3hw[:, 0])
        if frames_bt3hw.shape[1] == 1:
            return logits
        for i in range(1, frames_bt3hw.shape[1]):
            state = self.carry(frames_bt3hw[:, i], state)
        return self.correct(frames_bt3hw[:, -1], state)

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, State]:
        image_b3hw = self.reference.normalise(key_b3hw)
        with torch.no_grad():  # frozen, classifier and all
            scores = self.scores(self.reference, image_b3hw)
        state = State(scores, resize(image_b3hw, quarter(key_b3hw)), flow_input(key_b3hw))
        return whole(scores, size_of(key_b3hw)), state

    def step(self, frame_b3hw: Tensor, state: State) -> tuple[Tensor, State]:
        state = self.carry(frame_b3hw, state)
        return self.correct(frame_b3hw, state), state

    def phases(self) -> Sequence[Phase]:
        """First where the warp went wrong, with the flow as it is; then the flow, and what to put there."""
        return [
            Phase("distortion", (self.distortion,), self.distortion_losses, 3, "adam"),
            Phase("model", (self.flow, self.correction), self.correction_losses, 3, "adam"),
        ]

    # -- pieces --

    def carry(self, frame_b3hw: Tensor, state: State) -> State:
        """One step along the flow."""
        now = flow_input(frame_b3hw)
        flow = self.flow(now, state.frame_b3hw)
        return State(warp(state.scores_bkhw, flow), warp(state.image_b3hw, flow), now)

    def correct(self, frame_b3hw: Tensor, state: State) -> Tensor:
        """Logits (b, k, h, w) of the frame that the state was carried to."""
        image_b3hw, size = self.reference.normalise(frame_b3hw), size_of(frame_b3hw)
        corrected = resize(self.correction(image_b3hw), size)
        return torch.lerp(*_floats(whole(state.scores_bkhw, size), corrected, self._distorted(image_b3hw, state)))

    def _distorted(self, image_b3hw: Tensor, state: State) -> Tensor:
        """D (b, 1, h, w) of the frame that the state was carried to."""
        small_b3hw = resize(image_b3hw, quarter(image_b3hw))
        return resize(self.distortion(state.image_b3hw, small_b3hw), size_of(image_b3hw))

    def _carried(self, frames_bt3hw: Tensor) -> Iterator[tuple[Tensor, State]]:
        """Each frame after the key frame, with what was carried to it."""
        state = self.start(frames_bt3hw[:, 0])[1]
        for i in range(1, frames_bt3hw.shape[1]):
            state = self.carry(frames_bt3hw[:, i], state)
            yield frames_bt3hw[:, i], state

    def reference_ids(self, frame_b3hw: Tensor) -> Tensor:
        """Classes (b, h, w) that the reference branch sees in a frame."""
        with torch.no_grad():
            logits_bkhw: Tensor = self.reference(self.reference.normalise(frame_b3hw))
            return logits_bkhw.argmax(1)

    # -- losses --

    def distortion_losses(self, frames_bt3hw: Tensor, label_bhw: Tensor) -> dict[str, Tensor]:
        """Cross entropy between D and where carried and own classes differ, the mean over frames. No label is used."""
        terms = []
        for frame, state in self._carried(frames_bt3hw):
            carried_bhw = whole(state.scores_bkhw, size_of(frame)).argmax(1)
            wrong_b1hw = (carried_bhw != self.reference_ids(frame))[:, None]
            distorted_b1hw = at_least_float32(self._distorted(self.reference.normalise(frame), state))
            with torch.autocast(frame.device.type, enabled=False):
                terms.append(F.binary_cross_entropy(distorted_b1hw, wrong_b1hw.to(distorted_b1hw.dtype)))
        return {"distortion": _mean(terms)}

    def correction_losses(self, frames_bt3hw: Tensor, label_bhw: Tensor) -> dict[str, Tensor]:
        """Cross entropy of carried and corrected scores, and of the correction where D says that it will be needed.

        On the last frame towards the label, on those before it towards the reference branch's classes.
        """
        semantic, correction = [], []
        last = frames_bt3hw.shape[1] - 1
        for i, (frame, state) in enumerate(self._carried(frames_bt3hw), start=1):
            target_bhw = label_bhw if i == last else self.reference_ids(frame)
            image_b3hw, size = self.reference.normalise(frame), size_of(frame)
            with torch.no_grad():
                distorted = self._distorted(image_b3hw, state)
            carried, own, distorted = _floats(
                whole(state.scores_bkhw, size), resize(self.correction(image_b3hw), size), distorted
            )
            merged = torch.lerp(carried, own, distorted)
            semantic += [cross_entropy(scores, target_bhw, "valid") for scores in (carried, merged)]
            own_bhw = F.cross_entropy(own, target_bhw, ignore_index=IGNORE, reduction="none")
            correction.append((own_bhw * distorted[:, 0]).mean())  # ignored pixels count in this mean
        return {"semantic": _mean(semantic), "correction": _mean(correction)}


def _floats(*maps: Tensor) -> tuple[Tensor, ...]:
    return tuple(at_least_float32(m) for m in maps)


def _mean(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack([*terms]).mean()
