"""How far an exported graph is from the torch model, on real frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any, Protocol

import torch
from torch import Tensor

from ifrkit.data.store.clips import ClipStore
from ifrkit.export.graphs import calibrated

CLIPS = 2
"""Clips that are checked, the first of the best split ..."""
FRAMES = 5
"""... and so many frames of each: a key frame, and updates that feed on their own state."""
TRIM = (3, 5)
"""Rows and columns taken off for a second, odd size."""


class Streamed(Protocol):
    """The streaming form of a model."""

    def start(self, key_b3hw: Tensor, /) -> tuple[Tensor, Any]: ...

    def step(self, frame_b3hw: Tensor, state: Any, /) -> tuple[Tensor, Any]: ...


@dataclass
class Difference:
    """Of one graph: the largest absolute difference of any output, relative to the largest value of that output.

    absolute: of the logits, as they are. changed: share of pixels whose class is another one.
    """

    relative: float = 0.0
    absolute: float = 0.0
    frames: int = 0
    pixels: int = 0
    changed_pixels: int = 0
    sizes: list[list[int]] = field(default_factory=list)

    def add(self, wanted: Sequence[Tensor], got: Sequence[Tensor]) -> None:
        """Outputs of both for the same frames, logits first. Raises ValueError if their shapes differ."""
        for a, b in zip(wanted, got, strict=True):
            if a.shape != b.shape:
                raise ValueError(f"the graph gives {[*b.shape]} where torch gives {[*a.shape]}")
            gap = float((a - b).abs().max()) / max(1.0, float(a.abs().max()))
            self.relative = max(self.relative, inf if isnan(gap) else gap)
        logits, other = wanted[0], got[0]
        self.absolute = max(self.absolute, float((logits - other).abs().max()))
        self.frames += len(logits)
        self.pixels += logits[:, 0].numel()
        self.changed_pixels += int((logits.argmax(1) != other.argmax(1)).sum())
        if (shape := [len(logits), *logits.shape[2:]]) not in self.sizes:
            self.sizes.append(shape)

    def report(self) -> dict[str, Any]:
        """Plain values for manifest and index. sizes: (batch, height, width) that were run."""
        return {
            "max_difference": self.absolute,
            "relative": self.relative,
            "changed_pixels": self.changed_pixels / max(1, self.pixels),
            "frames": self.frames,
            "sizes": self.sizes,
        }


def real_frames(store: ClipStore, dynamic: tuple[str, ...]) -> Iterator[Tensor]:
    """Runs of frames (b, t, 3, h, w) of the first clips of val (else test, train).

    With a dynamic batch, then three at once: a run and its mirror images; with dynamic size at an odd one.
    """
    clips = next(found for split in ("val", "test", "train") if (found := store.clips_of(split)))
    for clip in clips[:CLIPS]:
        frames = [store.frame(clip, i) for i in range(min(FRAMES, len(store.clips[clip].frames)))]
        run_bt3hw = torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in frames])[None]
        yield run_bt3hw
    if "batch" in dynamic:
        h, w = run_bt3hw.shape[-2:]
        if "height" in dynamic:
            run_bt3hw = run_bt3hw[..., : h - TRIM[0], : w - TRIM[1]]
        yield torch.cat([run_bt3hw, run_bt3hw.flip(-1), run_bt3hw.flip(-2)])


@torch.inference_mode()
def compare(model: Streamed, exported: Streamed, runs: Sequence[Tensor]) -> dict[str, Difference]:
    """Stream the runs through both; each feeds on its own state. Differences of "start" and "step"."""
    found = {"start": Difference(), "step": Difference()}
    for run_bt3hw in runs:
        frames = [x.contiguous() for x in run_bt3hw.unbind(1)]
        (wanted, state), (got, own) = model.start(frames[0]), exported.start(frames[0])
        found["start"].add([calibrated(wanted, model), *state], [got, *own])
        for frame in frames[1:]:
            (wanted, state), (got, own) = model.step(frame, state), exported.step(frame, own)
            found["step"].add([calibrated(wanted, model), *state], [got, *own])
    return found
