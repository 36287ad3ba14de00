"""A dataset of random frames with every fault that a dataset can have. Clips of a split overlap by one frame."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
from msgspec.structs import replace

from data_prep import base
from ifrkit.core.bounds import Count
from ifrkit.core.config import Config as BaseConfig
from ifrkit.core.errors import DatasetError
from ifrkit.core.keyed import key_rng
from ifrkit.core.records import IGNORE, ClipRecord, Frame, Label, LabelSpace, TrueFlow

BROKEN = "train/000006"
"""The frame that a fault is in; it has a label."""
READ: list[str] = []
"""Frames that this process has read."""


class Dataset(base.Dataset):
    """Labels: red channel // 64, but 255 in the first row. Flow: (2, -1) back everywhere but in one corner."""

    class Config(BaseConfig):
        """How many clips of 4 frames, how large, and what is wrong with them."""

        train: Count = 6
        val: int = 2
        height: int = 24
        width: int = 40
        flow: bool = False
        fault: Literal["", "ids", "cut", "size", "label_size", "dies", "twice", "leak", "position", "bare"] = ""

    config: Config

    def __init__(self, root: Path, config: BaseConfig, seed: int = 0) -> None:
        super().__init__(root, config, seed)
        self.has_flow = self.config.flow  # type: ignore[misc]  # a class attribute elsewhere, an option here

    def label_space(self) -> LabelSpace:
        return LabelSpace(names=("a", "b", "c", "d"), colors=((0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9)))

    def clips(self) -> list[ClipRecord]:
        clips = [self._clip("train", k) for k in range(self.config.train)]
        clips += [self._clip("val", k) for k in range(self.config.val)]
        if self.config.fault == "twice":
            clips.append(clips[0])
        if self.config.fault == "leak":
            clips.append(replace(clips[-1], name="leak", frames=clips[0].frames))
        if self.config.fault == "position":
            clips[1] = replace(clips[1], labeled=(4,))
        return clips

    def _clip(self, split: Literal["train", "val"], k: int) -> ClipRecord:
        frames = tuple(f"{split}/{3 * k + i:06d}" for i in range(4))
        marked = {} if self.config.fault == "bare" else {"annotated": 3, "labeled": (3,), "hidden": (1,)}
        return ClipRecord(name=f"{split}_{k}", video=split, split=split, frames=frames, **marked)

    def frame(self, name: str) -> Frame:
        READ.append(name)
        fault = self.config.fault if name == BROKEN else ""
        if fault == "cut":
            raise DatasetError(f"{name}.png: cannot be read as an image (truncated)", "copy it again")
        if fault == "dies":
            os._exit(1)
        height = self.config.height + 2 * (fault == "size")
        return key_rng(self.seed, name).integers(0, 256, (height, self.config.width, 3), np.uint8)

    def label(self, name: str) -> Label:
        label = key_rng(self.seed, name).integers(0, 256, (self.config.height, self.config.width, 3), np.uint8)[..., 0]
        label = label // 64
        label[0] = IGNORE
        fault = self.config.fault if name == BROKEN else ""
        if fault == "ids":
            label[5, 5], label[6, 6] = 4, 200
        return label[1:] if fault == "label_size" else label

    def flow(self, name: str, *, backward: bool) -> TrueFlow | None:
        number = int(name.rpartition("/")[2])
        if not self.has_flow or (backward and number == 0):
            return None
        sign, size = (1 if backward else -1), (self.config.height, self.config.width)
        flow = np.broadcast_to(np.float32([2 * sign, -sign])[:, None, None], (2, *size)).copy()
        flow[:, 0, 0] = number
        return TrueFlow(flow, self.label(name) != IGNORE)

    def fingerprint(self) -> str:
        return "toyset"
