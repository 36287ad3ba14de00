"""Tiny moving pictures with exact labels, for the toy trees of the dataset plug-ins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from ifrkit.core.keyed import key_rng
from ifrkit.core.records import Frame, Label
from ifrkit.media.video import quiet_opencv

SIZE = (48, 64)
"""(height, width) of toy frames."""


def picture(video: str, time: int, classes: int, seed: int, size: tuple[int, int] = SIZE) -> tuple[Frame, Label]:
    """A frame and its label: horizontal bands of classes, and a patch of every class that moves sideways with time.

    Class k looks like colour k with a fixed texture, so a small net can learn it and no two neighbours are equal.
    """
    rng = key_rng(seed, "toy", video)
    height, width = size
    palette = key_rng(seed, "toy palette").integers(30, 226, (classes, 3))
    ids = (np.arange(height) * classes // height)[:, None].repeat(width, 1)
    for k in range(classes):
        y, x = int(rng.integers(0, height - 8)), int(rng.integers(0, width)) + (1 + k % 3) * time
        columns = (np.arange(10) + x) % width
        ids[y : y + 8, columns] = k
    shift = (np.arange(width) + 2 * time) % width
    texture = rng.integers(-25, 26, size)[:, shift]
    image = np.clip(palette[ids] + texture[..., None], 0, 255).astype(np.uint8)
    return image, ids.astype(np.uint8)


def save(path: Path, pixels: Frame | Label) -> None:
    """Write an image file (grey ids or RGB, by shape), making its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_video(path: Path, frames: Iterable[Frame], rate: float = 30.0) -> None:
    """Write a motion-JPEG video file (AVI or what the suffix says)."""
    import cv2

    quiet_opencv()
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for frame in frames:
        if writer is None:
            fourcc = cv2.VideoWriter.fourcc(*"MJPG")
            writer = cv2.VideoWriter(str(path), fourcc, rate, (frame.shape[1], frame.shape[0]))
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    if writer is not None:
        writer.release()
