"""Threads on a busy machine: two that wait for each other can make a step ten times slower than one alone.

torch splits each operation between its threads and goes on when the last one is done. Where other programs keep one of
them from its core, all others wait, thousands of times a step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ifrkit.artifacts.job import Display

STARVED = 0.75
"""Threads that got less than this share of their cores' time may be waiting for each other: one alone is tried."""
FASTER = 0.8
"""One thread is kept if its steps take less than this share of the time."""


class ThreadWatch:
    """Times the first steps on a CPU, tries one thread where several were starved, and keeps what is faster.

    Which it is may change last bits of the weights, as another number of threads always may.
    """

    WARM, EACH = 1, 2
    """Steps that are not timed (the first one prepares), and steps that are timed of each kind."""

    def __init__(self, device: torch.device, display: Display) -> None:
        self.threads, self.display = torch.get_num_threads(), display
        self.several: list[float] = []
        self.alone: list[float] = []
        self.steps, self.share = 0, 1.0
        self.on = device.type == "cpu" and self.threads > 1

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around one step of training."""
        if not self.on:
            yield
            return
        wall, own = time.perf_counter(), time.process_time()
        yield
        seconds = time.perf_counter() - wall
        self._timed(seconds, (time.process_time() - own) / max(seconds, 1e-9))

    def _timed(self, seconds: float, cores: float) -> None:
        self.steps += 1
        if self.steps <= self.WARM:
            return
        if len(self.several) < self.EACH:
            self.several.append(seconds)
            self.share = min(self.share, cores / self.threads)
            if len(self.several) == self.EACH:
                self.on = self.share < STARVED
                torch.set_num_threads(1 if self.on else self.threads)
            return
        self.alone.append(seconds)
        if len(self.alone) == self.EACH:
            self.on = False
            self._decide(min(self.several), min(self.alone))

    def _decide(self, several: float, alone: float) -> None:
        if alone >= FASTER * several:
            torch.set_num_threads(self.threads)
            return
        slow, fast = f"{self.threads} threads take {several:.2g} s a step", f"one takes {alone:.2g} s"
        self.display.warn(f"the machine is busy: {slow}, {fast}; going on with one (--threads 1 says so at once)")
