"""ifrkit in a notebook or a program of your own.

    import ifrkit

    model = ifrkit.load("video-model")       # the newest; or a path, what `ifrkit train` printed, or a name of `ls`
    ids_hw = model.predict("frame.png")      # (h, w) uint8, class ids
    for frame_hw3, ids_hw in model.predict("street.mp4"):  # one frame after the other, in constant memory
        print(model.classes[ids_hw[0, 0]], model.colors[ids_hw].shape)

What `predict` answers is what the command `ifrkit predict` writes, pixel for pixel.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from ifrkit.artifacts import store
from ifrkit.artifacts.job import Job
from ifrkit.config.predict import PredictConfig
from ifrkit.config.resolve import resolve
from ifrkit.core.errors import ConfigError, ResourceError
from ifrkit.core.records import Frame
from ifrkit.media.images import read_rgb
from ifrkit.media.names import IMAGES
from ifrkit.media.palette import id_colors
from ifrkit.media.resize import resize_frame
from ifrkit.metrics.base import Ids
from ifrkit.predict.segmenter import open_segmenter
from ifrkit.predict.sources import read, survey

KINDS = ("video-model", "branches", "exported")
_COMMAND = ("videos", "frames", "write", "overlay", "legend", "codec", "fps", "runtime")
"""Options that say what is read and written."""


class Model:
    """A trained model. classes: their names, by id. colors: (k, 3) uint8 RGB of each."""

    def __init__(self, artifact: store.Artifact, config: PredictConfig, device: str) -> None:
        """See `load`."""
        self.config = config
        self._segmenter = open_segmenter(Job(config, [artifact], Path(), Path(), device=device))
        labels = self._segmenter.labels
        self.classes: tuple[str, ...] = tuple(labels.names)
        self.colors: NDArray[np.uint8] = id_colors(labels)[: len(self.classes)]

    @overload
    def predict(self, source: Frame) -> Ids: ...  # type: ignore[overload-overlap]  # an array is iterable as well

    @overload
    def predict(self, source: Iterable[Frame]) -> Iterator[tuple[Frame, Ids]]: ...

    @overload
    def predict(self, source: str | Path) -> Any: ...

    def predict(self, source: Any) -> Any:
        """Class ids (h, w) uint8 of an image; of a video an iterator over (frame, ids), in order.

        source: an image as (h, w, 3) uint8 RGB or as a file, a video file, a folder of frames, or an iterable of images
        that follow each other. Broken frames of a video are left out. Raises ConfigError for anything else, and
        DatasetError for a file that cannot be read.
        """
        if isinstance(source, np.ndarray):
            return self._image(source)
        if isinstance(source, str | Path):
            if Path(source).suffix.lower() in IMAGES:
                return self._image(read_rgb(Path(source)))
            return self._frames(_decoded(str(source)))
        if isinstance(source, Iterable):
            return self._frames(iter(source))
        raise ConfigError(f"cannot predict {type(source).__name__}", "give an image, a path, or an iterable of images")

    def _image(self, frame: Frame) -> Ids:
        self._segmenter.predictor.restart()
        return self._one(frame)

    def _frames(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Ids]]:
        self._segmenter.predictor.restart()
        for frame in frames:
            yield frame, self._one(frame)

    def _one(self, frame: Frame) -> Ids:
        if not isinstance(frame, np.ndarray):
            raise ConfigError(f"an image is an array of numpy, not {type(frame).__name__}", "name files one by one")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            fault = f"an image is (height, width, 3) uint8, not {frame.shape} {frame.dtype}"
            raise ConfigError(fault, "convert it to RGB of 8 bits")
        size = (frame.shape[0], frame.shape[1])
        seen_at = self._segmenter.seen_at(size, self.config)
        own = np.require(frame, requirements=["C", "W"])  # torch shares the memory, and wants it writable
        return self._segmenter.predictor(resize_frame(own, seen_at), size)[0]


def load(model: str | Path, *, workspace: str | Path | None = None, device: str = "cpu", **options: Any) -> Model:
    """A model: what a stage printed, its path, its name or the beginning of its id, or its kind (the newest one).

    workspace: where names, ids and kinds are looked up (default: $IFRKIT_WORKSPACE, else ./ifrkit_artifacts). device:
    "cpu" or "cuda" (or "cuda:1"). options: fields of `ifrkit predict --print-config`, such as branch="update",
    key_interval=5, checkpoint="last". Raises ArtifactError where there is none, ConfigError for options that do not fit
    it, and ResourceError where the device is not there.
    """
    _check_device(device)
    place = Path(workspace or os.environ.get("IFRKIT_WORKSPACE", "ifrkit_artifacts"))
    artifact = store.resolve(place, str(model).rstrip("\n"), KINDS)
    fixed: Sequence[str] = [name for name in _COMMAND if name in options]
    if fixed:
        raise ConfigError(f"{fixed[0]} is an option of the command alone", "leave it out")
    given = {name: (value, "") for name, value in {"videos": ("-",), **options}.items()}
    return Model(artifact, resolve(PredictConfig, "predict", flags=given)[0], device)


def _check_device(device: str) -> None:
    kind, _, number = str(device).partition(":")
    if kind not in ("cpu", "cuda") or not (number or "0").isdecimal():
        raise ConfigError(f"no device {device!r}", "use cpu, cuda, or cuda:1")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ResourceError(f"torch sees no device {device}", "use cpu, or a CUDA build of torch")


def _decoded(path: str) -> Iterator[Frame]:
    videos = survey([path]).videos
    if len(videos) != 1:
        raise ConfigError(f"{path}: holds {len(videos)} videos", "predict one after the other")
    frames = read(*videos[0])
    return (item.frame for item in frames if item.frame is not None)
