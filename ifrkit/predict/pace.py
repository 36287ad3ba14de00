"""How fast a model predicts frame after frame, and how much memory that takes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from ifrkit.config.predict import PredictConfig
from ifrkit.core.records import Frame
from ifrkit.media.resize import resize_frame
from ifrkit.predict.segmenter import Segmenter

FEWEST = 4
"""Frames of a round, or a whole number of key periods that has as many."""
_MIB = 1 << 20


class Pace:
    """A model that is measured on frames of one size. Raises ConfigError if it cannot take them."""

    def __init__(self, segmenter: Segmenter, config: PredictConfig, frames: Sequence[Frame], interval: int) -> None:
        self.predictor, self.frames = segmenter.predictor, frames
        self.size = frames[0].shape[0], frames[0].shape[1]
        self.seen_at = segmenter.seen_at(self.size, config)
        self.interval = interval
        self.count = -(-FEWEST // interval) * interval

    def seconds(self, count: int | None = None) -> tuple[float, float]:
        """Mean time of a frame over so many, by the clock and of processors: scaled, predicted, ids at its own size."""
        self.predictor.restart()
        count = count or self.count
        begun, used = time.perf_counter(), time.process_time()
        for number in range(count):
            frame = self.frames[number % len(self.frames)]
            self.predictor(resize_frame(frame, self.seen_at), self.size)
        return (time.perf_counter() - begun) / count, (time.process_time() - used) / count


class Peak:
    """How far the memory rises inside of `with`. mib: None where the system does not tell."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.mib: float | None = None

    def __enter__(self) -> Peak:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            return self
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what earlier models have freed would be used again, unseen
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the highest mark falls to where the memory is now
        self._before = _status("VmRSS")
        return self

    def __exit__(self, *error: object) -> None:
        if self.device.type == "cuda":
            self.mib = (torch.cuda.max_memory_allocated(self.device) - self._before) / _MIB
        elif (highest := _status("VmHWM")) and self._before:
            self.mib = max(0, highest - self._before) / _MIB


def _status(name: str) -> int:
    """Bytes of an entry of this process; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
        return int(found[1]) * 1024 if found else 0
    return 0
