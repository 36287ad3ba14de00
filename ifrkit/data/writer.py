"""Write one file of the clip store. Same frames in the same order: the same bytes."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from data_prep.base import TrueFlow
from ifrkit.data.store import Codec


class StoredFrame(NamedTuple):
    """One frame ready to be written, all at the store's size but `full_label_hw`."""

    name: str
    frame_hw3: NDArray[np.uint8]
    label_hw: NDArray[np.uint8] | None = None
    full_label_hw: NDArray[np.uint8] | None = None
    backward: TrueFlow | None = None
    forward: TrueFlow | None = None


class FileWriter:
    """A store file for a known number of frames; complete once the context has ended."""

    def __init__(
        self, path: Path, frames: int, labels: int, size: tuple[int, int], codec: Codec, quality: int, flow: bool
    ) -> None:
        self.codec, self.quality, self.flow, self.rows, self.label_rows = codec, quality, flow, 0, 0
        self.file = h5py.File(path, "w", track_order=False)
        height, width = size
        if codec == "raw":
            self._dataset("frames", (frames, height, width, 3), "u1")
        else:
            self._dataset("encoded", (frames,), h5py.vlen_dtype(np.uint8))
        self._dataset("crc32", (frames,), "u4")
        if labels:
            self._dataset("labels", (labels, height, width), "u1", chunks=(1, height, width), compression=1)
        for side in ("backward", "forward") if flow else ():
            self._dataset(f"flow_{side}", (frames, 2, height, width), "f4", chunks=(1, 2, height, width), compression=1)
            self._dataset(f"visible_{side}", (frames, height, width), "?", chunks=(1, height, width), compression=1)

    def _dataset(self, name: str, shape: tuple[int, ...], dtype: object, **options: object) -> None:
        self.file.create_dataset(name, shape, dtype, track_times=False, **options)

    def add(self, item: StoredFrame) -> tuple[int, int | None, int | None]:
        """Append a frame; its row, its label's row and its full label's."""
        row, self.rows = self.rows, self.rows + 1
        data = self._encode(item.frame_hw3)
        self.file["frames" if self.codec == "raw" else "encoded"][row] = data
        self.file["crc32"][row] = zlib.crc32(data.tobytes())
        for side, flow in (("backward", item.backward), ("forward", item.forward)):
            if self.flow and flow is not None:
                self.file[f"flow_{side}"][row] = flow.flow_2hw
                self.file[f"visible_{side}"][row] = flow.visible_hw
        if item.label_hw is None:
            return row, None, None
        label, self.label_rows = self.label_rows, self.label_rows + 1
        self.file["labels"][label] = item.label_hw
        if item.full_label_hw is None:
            return row, label, None
        full = item.full_label_hw
        self._dataset(f"full/{label}", full.shape, "u1", data=full, chunks=full.shape, compression=1)
        return row, label, label

    def close(self) -> None:
        """Flush everything to the file."""
        self.file.close()

    def _encode(self, frame_hw3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.codec == "raw":
            return np.ascontiguousarray(frame_hw3)
        options = [cv2.IMWRITE_JPEG_QUALITY, self.quality] if self.codec == "jpeg" else []
        return cv2.imencode(f".{self.codec}", frame_hw3[:, :, ::-1], options)[1].reshape(-1)


def resize_frame(frame_hw3: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bilinear as the released code: exactly half size is the rounded 2x2 mean (sum + 2) >> 2."""
    if frame_hw3.shape[:2] == size:
        return frame_hw3
    return np.asarray(cv2.resize(frame_hw3, size[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def resize_label(label_hw: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Nearest as the released code: exactly half size keeps the top-left pixel of each 2x2 block."""
    if label_hw.shape == size:
        return label_hw
    return np.asarray(cv2.resize(label_hw, size[::-1], interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
