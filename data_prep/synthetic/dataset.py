"""The embedded dataset: procedural street videos with exact labels and exact optical flow, made on the fly.

Every video is a pure function of (seed, split, number): a street of textured planes, a camera that drives through it,
cars and people that move on their own, weather that drifts. Nothing is read from disk, so `root` is not used.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from msgspec import Meta

from data_prep.base import Dataset as BaseDataset
from data_prep.synthetic.classes import CLASSES
from ifrkit.core.bounds import Count, Natural
from ifrkit.core.errors import DatasetError
from ifrkit.core.lazy import lazy
from ifrkit.core.records import ClipRecord, Frame, Label, LabelSpace, Split, TrueFlow

if TYPE_CHECKING:
    from data_prep.synthetic import video as painted
else:
    painted = lazy("data_prep.synthetic.video")  # a dry run paints nothing

VERSION = "synthetic-1"
"""Raise it whenever the same seed gives other pixels."""


class Dataset(BaseDataset):
    """Procedural street videos: 8 classes, weather that drifts, moving cars and people, exact labels and flow.

    Every video is cut into `clips_per_video` clips of `clip_length` frames. Training sees the annotated frame's label
    only; the labels of all other frames are hidden, for evaluation.
    """

    class Config(BaseDataset.Config):
        """How many videos, how long, how large, how noisy."""

        train_videos: Natural = 24
        val_videos: Count = 8
        test_videos: Count = 0
        clips_per_video: Natural = 1
        """Consecutive, without gap or overlap."""
        clip_length: Natural = 10
        annotated: int = -1
        """Position of the annotated frame in a clip; negative counts from the end."""
        height: Annotated[int, Meta(ge=16, le=2048)] = 96
        width: Annotated[int, Meta(ge=16, le=4096)] = 192
        noise: Annotated[float, Meta(ge=0, le=64)] = 3.0
        """Standard deviation of the sensor noise at middle grey, in grey levels."""

        def __post_init__(self) -> None:
            if not -self.clip_length <= self.annotated < self.clip_length:
                raise ValueError(f"annotated={self.annotated} is outside a clip of {self.clip_length} frames")

    has_flow = True
    generated = True
    config: Config

    def label_space(self) -> LabelSpace:
        return LabelSpace(names=tuple(CLASSES), colors=tuple(CLASSES.values()))

    def clips(self) -> list[ClipRecord]:
        config = self.config
        length = config.clip_length
        annotated = config.annotated % length
        return [
            ClipRecord(
                name=f"{split}_{video:04d}_{k:02d}",
                video=f"{split}_{video:04d}",
                split=split,
                frames=tuple(f"{split}_{video:04d}/{k * length + i:06d}" for i in range(length)),
                annotated=annotated,
                labeled=(annotated,),
                hidden=tuple(i for i in range(length) if i != annotated),
            )
            for split, videos in self._videos().items()
            for video in range(videos)
            for k in range(config.clips_per_video)
        ]

    def frame(self, name: str) -> Frame:
        video, t = self._find(name)
        return video.frame(t)

    def frame_size(self, name: str) -> tuple[int, int]:
        return self.config.height, self.config.width

    def label(self, name: str) -> Label:
        video, t = self._find(name)
        return video.label(t)

    def flow(self, name: str, *, backward: bool) -> TrueFlow | None:
        video, t = self._find(name)
        other = t - 1 if backward else t + 1
        return video.flow(t, other) if 0 <= other < video.length else None

    def fingerprint(self) -> str:
        return VERSION

    def summary(self) -> list[str]:
        config = self.config
        length = config.clips_per_video * config.clip_length
        lines = [f"{split}: {n} videos of {length} frames" for split, n in self._videos().items() if n]
        return [
            *lines,
            f"clips of {config.clip_length} frames, {config.height}x{config.width}, label of frame "
            f"{config.annotated % config.clip_length} visible; exact flow and hidden labels for all frames",
        ]

    @classmethod
    def make_toy(cls, root: Path, seed: int = 0) -> None:
        """Nothing to write: the videos are made from the seed."""

    def _videos(self) -> dict[Split, int]:
        config = self.config
        return {"train": config.train_videos, "val": config.val_videos, "test": config.test_videos}

    def _find(self, name: str) -> tuple[painted.Video, int]:
        """The video and frame number of "SPLIT_VIDEO/FRAME"."""
        video, _, frame = name.partition("/")
        split, _, number = video.partition("_")
        length = self.config.clips_per_video * self.config.clip_length
        known = split in get_args(Split) and number.isdecimal() and frame.isdecimal()
        if not known or int(frame) >= length or int(number) >= self._videos()[split]:  # type: ignore[index]
            raise DatasetError(f"synthetic: no frame named {name!r}", "names look like train_0003/000009")
        size = self.config.height, self.config.width
        return _video(self.seed, split, int(number), length, size, self.config.noise), int(frame)


@lru_cache(maxsize=8)
def _video(seed: int, split: str, number: int, length: int, size: tuple[int, int], noise: float) -> painted.Video:
    return painted.Video(seed, split, number, length=length, size=size, noise=noise)
