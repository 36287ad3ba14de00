"""A trained model on a stream of frames: when a key frame begins, and at which size the networks see the frames."""

from __future__ import annotations

import time
from math import sqrt
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ifrkit.core.records import Frame
from ifrkit.evaluation.systems import seen, to_ids
from ifrkit.metrics.base import Ids
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import Network
from ifrkit.models.video import flow_input
from ifrkit.models.warp import warp

_FLAT = 1 / 255
"""A picture of less contrast than one grey level has nothing to explain."""


class Streamed(Protocol):
    """The streaming form of a video model (`ifrkit/models/video.py`).

    temperature: softmax(logits / temperature) is the probability.
    """

    temperature: float

    def start(self, key_b3hw: Tensor, /) -> tuple[Tensor, Any]: ...

    def step(self, frame_b3hw: Tensor, state: Any, /) -> tuple[Tensor, Any]: ...


class EveryFrame:
    """A branch alone: each frame is a key frame."""

    def __init__(self, network: Network) -> None:
        self.network, self.temperature = network, network.temperature

    def start(self, key_b3hw: Tensor) -> tuple[Tensor, None]:
        """Logits (b, k, h, w), and no state."""
        return self.network(self.network.normalise(key_b3hw)), None

    def step(self, frame_b3hw: Tensor, state: None) -> tuple[Tensor, None]:
        """As `start`: nothing is carried from frame to frame."""
        return self.start(frame_b3hw)


class Policy(Protocol):
    """Which frames are key frames. It is asked once for every frame, in order."""

    def is_key(self, frame_b3hw: Tensor) -> bool:
        """Whether a key frame begins here. frame: uint8 RGB, as the model sees it."""
        ...

    def restart(self) -> None:
        """The next frame has nothing before it: it is a key frame."""
        ...


class Fixed:
    """A key frame, then interval - 1 others."""

    def __init__(self, interval: int) -> None:
        self.interval, self._since = interval, 0

    def is_key(self, frame_b3hw: Tensor) -> bool:
        """See Policy."""
        key = self._since % self.interval == 0
        self._since = 1 if key else self._since + 1
        return key

    def restart(self) -> None:
        """See Policy."""
        self._since = 0


class Remembered(nn.Module):
    """A flow network that answers a question which it is asked twice in a row from memory.

    `Adaptive` asks for the flow of each frame just before the model does: this saves the model's pass.
    """

    def __init__(self, flow: FlowNetS) -> None:
        super().__init__()
        self.flow = flow
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, current_b3hw: Tensor, earlier_b3hw: Tensor) -> Tensor:
        """As `FlowNetS.forward`."""
        if self._last is not None:
            current, earlier, flow_b2hw = self._last
            if torch.equal(current, current_b3hw) and torch.equal(earlier, earlier_b3hw):
                return flow_b2hw
        self._last = current_b3hw, earlier_b3hw, self.flow(current_b3hw, earlier_b3hw)
        return self._last[2]

    def decode(self, current_b3hw: Tensor, earlier_b3hw: Tensor) -> tuple[list[Tensor], Tensor]:
        """As `FlowNetS.decode`: a model that asks for more (DFF) asks of its key frame, never the same question."""
        return self.flow.decode(current_b3hw, earlier_b3hw)


class Adaptive:
    """A key frame where the warp no longer explains what is seen.

    The picture of the key frame is carried along as a video model carries its scores: at 1/4 size, one warp by the
    model's own flow a frame. `error` is its mean absolute difference to the frame itself, as a share of the frame's
    contrast (its mean absolute deviation), both without their mean colours, since light may change. 0: all is
    explained; about 1.4: a picture of something else. Content that comes into view, and motion that flow misses, make
    it grow; above `threshold` a key frame begins. longest: at most so many frames from one to the next (None: any).
    """

    def __init__(self, flow: nn.Module, threshold: float, longest: int | None = None) -> None:
        self.flow, self.threshold, self.longest = flow, threshold, longest
        self.error = 0.0
        self._since = 0
        self._last_b3hw: Tensor | None = None
        self._carried_b3hw: Tensor | None = None

    def is_key(self, frame_b3hw: Tensor) -> bool:
        """See Policy."""
        now = flow_input(frame_b3hw)
        key = self._last_b3hw is None or self._carried_b3hw is None or self._since == self.longest
        if self._last_b3hw is not None and self._carried_b3hw is not None and not key:
            flow_b2hw = self.flow(now, self._last_b3hw)
            small = F.interpolate(now, flow_b2hw.shape[-2:], mode="area")
            self._carried_b3hw = warp(self._carried_b3hw, flow_b2hw)
            self.error = _unexplained(self._carried_b3hw, small)
            key = self.error > self.threshold
        if key:
            h, w = now.shape[-2:]
            self._carried_b3hw = F.interpolate(now, (-(-h // 4), -(-w // 4)), mode="area")
            self._since = 0
        self._last_b3hw = now
        self._since += 1
        return key

    def restart(self) -> None:
        """See Policy."""
        self._last_b3hw = self._carried_b3hw = None


def _unexplained(carried_b3hw: Tensor, now_b3hw: Tensor) -> float:
    carried, now = (x - x.mean((2, 3), keepdim=True) for x in (carried_b3hw, now_b3hw))
    return float((carried - now).abs().mean() / now.abs().mean().clamp(min=_FLAT))


class Predictor:
    """Segments one frame after the other. model: in eval mode, on the device. seconds: spent in networks so far."""

    def __init__(self, model: Streamed, policy: Policy, device: torch.device) -> None:
        self.model, self.policy, self.device = model, policy, device
        self.seconds = 0.0
        self._state: Any = None
        self._logits: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, frame: Frame, size: tuple[int, int]) -> tuple[Ids, bool]:
        """Class ids (h, w) at `size`, and whether this was a key frame. frame: at the size that the networks see."""
        frame_b3hw = torch.from_numpy(frame).to(self.device).permute(2, 0, 1)[None]
        begun = time.perf_counter()
        key = self.policy.is_key(frame_b3hw)
        logits, self._state = self.model.start(frame_b3hw) if key else self.model.step(frame_b3hw, self._state)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # the ids are waited for anyway, a line below
        self.seconds += time.perf_counter() - begun
        self._logits = logits
        return enlarged_ids(logits, size), key

    @torch.inference_mode()
    def confidence(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Of the frame that was predicted last: the probability of each pixel's class, (h, w), 255 is certain.

        By the temperature of the model, as `eval` measures it.
        """
        assert self._logits is not None, "no frame was predicted"
        sure_hw = seen(self._logits, size, self.model.temperature).confidence_hw
        assert sure_hw is not None
        return np.rint(255 * sure_hw).astype(np.uint8)

    def restart(self) -> None:
        """The next frame has nothing before it: a new video, or a broken frame."""
        self.policy.restart()
        self._state = None


def enlarged_ids(logits_1khw: Tensor, size: tuple[int, int]) -> Ids:
    """As `to_ids`. On the CPU OpenCV enlarges and compares class by class, four times as fast for a 1080p frame."""
    if logits_1khw.is_cuda or logits_1khw.shape[-2:] == size:
        return to_ids(logits_1khw, size)
    planes = (cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in logits_1khw[0].numpy())
    best, ids_hw = next(planes), np.zeros(size, np.uint8)
    for index, plane in enumerate(planes, start=1):
        better = np.asarray(cv2.compare(plane, best, cv2.CMP_GT), np.uint8)  # 255 where it is
        np.maximum(ids_hw, better & np.uint8(index), out=ids_hw)  # the later class is the larger id
        cv2.max(plane, best, dst=best)
    return ids_hw


def network_size(
    frame: tuple[int, int], trained: tuple[int, int], rule: Literal["train", "own"] | tuple[int, int]
) -> tuple[int, int]:
    """The (height, width) at which the networks see a frame.

    train: as many pixels as the frames that the model was trained on, at the frame's own aspect ratio, so that things
    look as large as they did in training; own: the frame's own size; or a size.
    """
    if rule == "own":
        return frame
    if rule != "train":
        return rule
    scale = sqrt(trained[0] * trained[1] / (frame[0] * frame[1]))
    return max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))
