"""A user's videos: streets of the synthetic generator as mp4, avi and folders, whole and damaged."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_prep.synthetic.video import Video
from ifrkit.artifacts.store import Artifact
from ifrkit.config.predict import PredictConfig
from ifrkit.stages import predict
from ifrkit.stages.runner import Run, execute

Frame = NDArray[np.uint8]


def street(count: int, size: tuple[int, int] = (32, 48), seed: int = 5) -> list[Frame]:
    """The first frames of a street, (h, w, 3) RGB."""
    video = Video(seed, "test", 0, length=count, size=size, noise=0.0)
    return [video.frame(t) for t in range(count)]


def write_video(path: Path, frames: Sequence[Frame], fps: float = 10.0) -> Path:
    """An mp4 (MPEG-4) or an avi (MJPG), by the name."""
    code = cv2.VideoWriter.fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG"))
    video = cv2.VideoWriter(str(path), code, fps, (frames[0].shape[1], frames[0].shape[0]))
    for frame in frames:
        video.write(frame[:, :, ::-1].copy())
    video.release()
    return path


def write_folder(path: Path, frames: Sequence[Frame]) -> Path:
    """f1.png, f2.png, ... f10.png: natural order is not the order of their letters."""
    path.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(path / f"f{number}.png")
    return path


def read_video(path: Path) -> list[Frame]:
    """Every frame that a player would show, RGB."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1][:, :, ::-1])
    return frames


def break_avi(path: Path, number: int) -> None:
    """Overwrite the picture of one frame of an MJPG avi."""
    data = bytearray(path.read_bytes())
    start = _pictures(data)[number] + 8
    (length,) = struct.unpack("<I", data[start - 4 : start])
    data[start : start + length] = bytes(length)
    path.write_bytes(data)


def cut_avi(path: Path, number: int) -> None:
    """Cut an MJPG avi off in the middle of one frame."""
    data = path.read_bytes()
    path.write_bytes(data[: _pictures(data)[number] + 20])


def _pictures(data: bytes | bytearray) -> list[int]:
    """Where the chunk of each frame begins."""
    return [i for i in range(data.index(b"movi"), data.rindex(b"idx1")) if data[i : i + 4] == b"00dc"]


def run(workspace: Path, model: Artifact, *videos: Path, resume: bool = False, **changes: Any) -> Artifact:
    """The stage `predict` on these videos; stop and display go to it as they are."""
    hooks = {name: changes.pop(name) for name in ("stop", "display") if name in changes}
    config = PredictConfig.of({"videos": [str(video) for video in videos], **changes})
    return execute(predict.STAGE, config, Run(workspace=workspace, inputs=[model], resume=resume, **hooks))


def labels(artifact: Artifact, video: str) -> dict[str, Frame]:
    """Frame -> class ids of one video, in order of the file names."""
    found = sorted((artifact.path / video / "labels").iterdir())
    return {path.stem: np.asarray(Image.open(path)) for path in found}
