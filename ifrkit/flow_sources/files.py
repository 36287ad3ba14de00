"""Flow of any other tool, as Middlebury .flo files.

DIR/FRAME.flo              flow of a frame to the next one (FRAME as in the store, with its video directory)
DIR/backward/FRAME.flo     flow of a frame to the one before; with this folder, consistency is checked everywhere
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ifrkit.core.errors import DatasetError
from ifrkit.core.records import PairFlow
from ifrkit.data.pixels.flow import checked, rule
from ifrkit.flow_sources import base

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore

HEADER = 12
"""Bytes: the mark, width, height."""


class FlowSource(base.FlowSource):
    """argument: the folder."""

    def pair(self, store: ClipStore, clip: int, index: int) -> PairFlow:
        frames, root = store.clips[clip].frames, Path(self.argument)
        forward = _read(root / f"{frames[index]}.flo", store.size)
        back = root / "backward" / f"{frames[index + 1]}.flo"
        return checked(forward, _read(back, store.size) if self._has_backward else None)

    def describe(self) -> dict[str, Any]:
        return {"source": "files", "folder": Path(self.argument).resolve().name, "consistent": rule(self._has_backward)}

    @property
    def _has_backward(self) -> bool:
        return (Path(self.argument) / "backward").is_dir()


def _read(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    """(2, h, w) float32. Raises DatasetError for a file that is missing, no .flo, or of another size."""
    # By hand: OpenCV's reader believes any header, and a broken one asks it for exabytes.
    data = path.read_bytes() if path.is_file() else b""
    width, height = np.frombuffer(data, "<i4", 2, 4).tolist() if len(data) >= HEADER else (-1, -1)
    if data[:4] != b"PIEH" or len(data) != HEADER + 8 * width * height:
        raise DatasetError(f"{path}: no readable flow file", "name files by frame: DIR/VIDEO/FRAME.flo")
    if (height, width) != size:
        raise DatasetError(f"{path}: flow of {(height, width)}, frames are {size}", "compute it on the stored frames")
    flow = np.frombuffer(data, "<f4", offset=HEADER).reshape(height, width, 2)
    return np.ascontiguousarray(flow.transpose(2, 0, 1), dtype=np.float32)
