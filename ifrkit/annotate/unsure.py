"""Where trained branches are unsure in a frame: what `label-next` weighs, and draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ifrkit.annotate.carry import Map
from ifrkit.annotate.choice import Seen
from ifrkit.artifacts.indexes import Branches
from ifrkit.artifacts.store import Artifact
from ifrkit.core.lazy import cv2
from ifrkit.core.records import Frame, Label
from ifrkit.data.pixels.flow import consistent_flow
from ifrkit.data.store.clips import ClipStore
from ifrkit.evaluation.systems import frame_tensor
from ifrkit.media.numbering import last_number
from ifrkit.models.cells import enlarged
from ifrkit.models.network import Network
from ifrkit.trained import load_branch


class Look(NamedTuple):
    """One frame: the numbers of it, the prediction, and how unsure it is, from 0 to 1 a pixel."""

    seen: Seen
    ids_hw: Label
    unsure_hw: Map


class Branchwise:
    """The branches of an artifact, looking at frames of its clips. The reference branch predicts, if there is one."""

    def __init__(self, branches: Artifact, store: ClipStore, device: str) -> None:
        index = Branches.read(branches)
        first = index.named(None)
        names = [first, *(name for name in index.branches if name != first)]
        self._networks = [load_branch(branches, name, "best").to(device).eval() for name in names]
        self._store, self._device = store, torch.device(device)

    @torch.inference_mode()
    def look(self, clip: int, index: int) -> Look:
        """A frame of a clip."""
        network, *others = self._networks
        image_13hw = frame_tensor(self._store, clip, index, self._device)
        feature_c, probability_khw = _predicted(network, image_13hw)
        classes = len(probability_khw)
        ids_hw = probability_khw.argmax(0).astype(np.uint8)
        entropy_hw = -(probability_khw * np.log(probability_khw.clip(1e-9))).sum(0) / np.log(max(classes, 2))
        maps = [entropy_hw]
        disagree = unsteady = None
        if others:
            differ_hw = _predicted(others[0], image_13hw)[1].argmax(0) != ids_hw
            disagree = float(differ_hw.mean())
            maps.append(differ_hw.astype(np.float32))
        if index > 0:
            differ_hw, known_hw = self._against_the_last(clip, index, ids_hw)
            unsteady = float(differ_hw[known_hw].mean()) if known_hw.any() else None
            maps.append((differ_hw & known_hw).astype(np.float32))
        record = self._store.clips[clip]
        number = last_number(record.frames[index])
        seen = Seen(
            record.frames[index], record.video, index if number is None else number, float(entropy_hw.mean()),
            disagree, unsteady, feature_c,
        )  # fmt: skip
        return Look(seen, ids_hw, np.mean(maps, axis=0).astype(np.float32))

    def _against_the_last(self, clip: int, index: int, ids_hw: Label) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the prediction of the frame before says otherwise, and where flow can tell."""
        before: Frame = self._store.frame(clip, index - 1)
        flow = consistent_flow(self._store.frame(clip, index), before)
        height, width = ids_hw.shape
        y, x = np.mgrid[:height, :width].astype(np.float32)
        last_hw = _predicted(self._networks[0], frame_tensor(self._store, clip, index - 1, self._device))[1].argmax(0)
        carried_hw = cv2.remap(last_hw.astype(np.uint8), x + flow.flow_2hw[0], y + flow.flow_2hw[1], cv2.INTER_NEAREST)
        return carried_hw != ids_hw, flow.consistent_hw


def _predicted(network: Network, image_13hw: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean feature (c) at length 1, and the probabilities (k, h, w)."""
    f_bchw = network.features(network.normalise(image_13hw))
    logits_bkhw = network.classify(f_bchw)
    height, width = image_13hw.shape[-2:]
    logits_bkhw = enlarged(logits_bkhw, network.stride, (height, width))
    feature_c = torch.nn.functional.normalize(f_bchw.float().mean((2, 3)))[0]
    return feature_c.cpu().numpy(), logits_bkhw.float().softmax(1)[0].cpu().numpy()
