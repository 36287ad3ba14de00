"""What flows from the clip store into training: raw batches (uint8, CPU), batches (normalised, on the device).

A method declares the views that it needs and only those frames are read. The names follow the released code:
v0_* come from a labeled clip, v1_* from an unlabeled one, *_s is a strongly distorted copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ifrkit.data.loading.views import Place

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Guess(NamedTuple):
    """A pseudo label (b, h, w) of a view or of its map, and where it is sure enough to count (bool; None: all)."""

    label_bhw: Tensor
    counts_bhw: Tensor | None


@dataclass
class RawBatch:
    """One micro-batch as the loader yields it: cheap to move, nothing computed yet.

    images: view -> (b, 3, h, w) uint8 RGB (distorted copies are not in here). labels: view -> (b, h, w) uint8, 255 =
    ignore. distortions: view -> (b, P) float32 parameters drawn by key. clips: pool -> index of each sample's clip.
    places: view -> the place of each image (not of distorted copies, which share it). extras: view -> (b, ...), what
    its placement brings along; cached maps are here, too ("map0", ...). truth: view -> (b, h, w) uint8, the dataset's
    own label where there is one, hidden from training or not, else 255.
    """

    images: dict[str, Tensor]
    labels: dict[str, Tensor]
    distortions: dict[str, Tensor] = field(default_factory=dict)
    clips: dict[str, list[int]] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)
    extras: dict[str, Tensor] = field(default_factory=dict)
    truth: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Batch:
    """One micro-batch as a method sees it.

    views: name -> (b, 3, h, w) float32, normalised. labels: name -> (b, h, w) int64, 255 = ignore. clips, places and
    extras as in RawBatch. guesses: what a method took for the label of a view, put here by `methods.base.guess`.
    class_weights: (k) of cross entropies with labels (`balance`), pseudo_weights: with pseudo labels; None: all 1.
    """

    views: dict[str, Tensor]
    labels: dict[str, Tensor]
    clips: dict[str, list[int]] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)
    extras: dict[str, Tensor] = field(default_factory=dict)
    guesses: dict[str, Guess] = field(default_factory=dict)
    class_weights: Tensor | None = None
    pseudo_weights: Tensor | None = None


@dataclass
class ClipBatch:
    """Consecutive frames with one shared crop, for flow and fusion.

    frames_bt3hw: uint8 RGB, oldest first (pairs: in either order). label_bhw: int64 of the last frame, 255 = ignore
    (all 255 without a label). flow_bt2hw / valid_bthw: exact flow of frames 1..T-1 to the one before in the batch, in
    pixels, x first, and where it is visible there; None unless true flow was asked for.
    """

    frames_bt3hw: Tensor
    label_bhw: Tensor
    flow_bt2hw: Tensor | None = None
    valid_bthw: Tensor | None = None

    def to(self, device: torch.device) -> ClipBatch:
        """The batch on a device."""
        flow, valid = self.flow_bt2hw, self.valid_bthw
        return ClipBatch(
            self.frames_bt3hw.to(device),
            self.label_bhw.to(device),
            None if flow is None else flow.to(device),
            None if valid is None else valid.to(device),
        )
