"""What a training run tells: mean losses, the event log (JSON lines), and TensorBoard as an extra listener."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ifrkit.artifacts.job import Display
from ifrkit.artifacts.notes import AGAIN
from ifrkit.core.errors import ArtifactError, DivergedError
from ifrkit.core.faults import named
from ifrkit.media.pictures import Rgb
from ifrkit.train import distributed


class LossWatch:
    """Sums loss terms on the device, and remembers there where each was first not finite; reads both rarely."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._first_bad: dict[str, Tensor] = {}

    def add(self, terms: Mapping[str, Tensor], step: int) -> None:
        """Take scalar terms of a (micro-)step, without waiting for the device."""
        for name, term in terms.items():
            value = term.detach().float()
            bad = torch.where(value.isfinite(), math.inf, float(step))
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
            self._first_bad[name] = self._first_bad[name].minimum(bad) if name in self._first_bad else bad

    def flush(self) -> dict[str, float]:
        """Mean of each term since the last call, over all ranks. Raises DivergedError on every rank alike."""
        if not self._sums:
            return {}
        names = list(self._sums)
        sums = torch.stack([self._sums[n] for n in names]).tolist()
        bad = distributed.smallest(torch.stack([self._first_bad[n] for n in names]).tolist())
        step, name = min(zip(bad, names, strict=True), key=lambda pair: pair[0])
        if step < math.inf:
            raise DivergedError(
                f"loss {name} is not finite at step {int(step)}", "lower the learning rate or its weight"
            )
        means = distributed.mean(s / self._counts[n] for s, n in zip(sums, names, strict=True))
        self._sums, self._counts, self._first_bad = {}, {}, {}
        return dict(zip(names, means, strict=True))


class EventLog:
    """A file of JSON lines, one a record; each holds "step", the number of finished steps."""

    def __init__(self, path: Path, kept: tuple[int, str] = (0, "")) -> None:
        """kept: what `mark` said; what comes after that in the file was written after the resumed state, and goes.

        Raises ArtifactError if the file does not hold what it did then.
        """
        self._path, length = path, kept[0]
        path.touch()
        self._file = path.open("r+b")
        self._sum = hashlib.sha256(self._file.read(length))
        if length and kept != (self._file.tell(), self._sum.hexdigest()):
            self._file.close()
            raise ArtifactError(f"{path} is not what the interrupted run had written", AGAIN)
        self._file.truncate(length)
        self.board: Any = None
        """The TensorBoard writer, if there is one."""

    def add_tensorboard(self, directory: Path, step: int, display: Display) -> None:
        """Also write TensorBoard event files, from `step` on; says so if TensorBoard cannot be used."""
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(directory), purge_step=step)
        except Exception as error:  # a broken optional package fails in its own ways, never only with ImportError
            display.warn(f"no TensorBoard files: {error} (pip install 'ifrkit[tb]')")

    def write(self, **record: Any) -> None:
        """Append a record, at once visible to readers of the file."""
        line = json.dumps(record).encode() + b"\n"
        with named(self._path):
            self._file.write(line)
            self._file.flush()
        self._sum.update(line)
        if self.board is not None:
            for name, value in _scalars(record):
                self.board.add_scalar(name, value, record["step"])

    def show(self, picture: Rgb, step: int) -> None:
        """A picture for TensorBoard alone."""
        if self.board is not None:
            self.board.add_image("validation", picture, step, dataformats="HWC")

    def mark(self) -> tuple[int, str]:
        """Bytes written so far, now durable, and their sha256."""
        with named(self._path):
            os.fsync(self._file.fileno())
        return self._file.tell(), self._sum.hexdigest()

    def close(self) -> None:
        """Close the file and the TensorBoard writer."""
        self._file.close()
        if self.board is not None:
            self.board.close()


def _scalars(tree: Any, prefix: str = "") -> list[tuple[str, float]]:
    """Numbers of a record under their paths: {"losses": {"sup": 1}} -> [("losses/sup", 1)]."""
    if isinstance(tree, dict | list):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [scalar for key, value in pairs for scalar in _scalars(value, f"{prefix}/{key}" if prefix else str(key))]
    return [(prefix, float(tree))] if isinstance(tree, int | float) and prefix != "step" else []
