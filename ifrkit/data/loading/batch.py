"""What flows from the clip store into training: views, raw batches (uint8, CPU), batches (normalised, on the device).

A method declares the views that it needs and only those frames are read. The names follow the released code:
v0_* come from a labeled clip, v1_* from an unlabeled one, *_s is a strongly distorted copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from torch import Tensor

from ifrkit.data.pixels.augment import PHOTOMETRIC, Photometric
from ifrkit.data.pixels.jitter import Jitter


@dataclass(frozen=True)
class View:
    """One image of a training sample.

    pool: the clip comes from the labeled clips, or from all training clips ("unlabeled"; the labeled ones too).
    frame: "annotated" (its label comes along when pool is "labeled"); "other": uniform over the other frames of that
    clip; "random": distinct uniform draws (the views of one pool that ask for it get different frames); "sorted": a
    draw of its own like that, in the order of time. flip_of: mirrored if and only if that view is.
    overlap_of: another window of that view's frame, moved by multiples of 8 pixels, that shares a part with it.
    neighbour_of: the frame before that view's frame (for the first of a clip: the one after it), mirrored like it; the
    flow from that view's pixels to this one's comes along.
    distort_of: this view is a distorted copy of that view: same frame, crop and flip. by: how it is distorted.
    pseudo: the least confidence (0..1) from which this view gets a label of the pseudo-labels artifact; None: no label.
    """

    name: str
    pool: Literal["labeled", "unlabeled"] = "labeled"
    frame: Literal["annotated", "other", "random", "sorted"] = "annotated"
    distort_of: str | None = None
    by: Photometric | Jitter = PHOTOMETRIC
    flip_of: str | None = None
    overlap_of: str | None = None
    neighbour_of: str | None = None
    pseudo: float | None = None


class Place(NamedTuple):
    """Where the crop of one image of a view was: its corner in the stored frame, and whether it was mirrored."""

    y: int
    x: int
    mirrored: bool


class Guess(NamedTuple):
    """A pseudo label (b, h, w) of a view or of its map, and where it is sure enough to count (bool; None: all)."""

    label_bhw: Tensor
    counts_bhw: Tensor | None


@dataclass
class RawBatch:
    """One micro-batch as the loader yields it: cheap to move, nothing computed yet.

    images: view -> (b, 3, h, w) uint8 RGB (distorted copies are not in here). labels: view -> (b, h, w) uint8, 255 =
    ignore. distortions: view -> (b, P) float32 parameters drawn by key. clips: pool -> index of each sample's clip.
    places: view -> the place of each image (not of distorted copies, which share it). flows: neighbour view ->
    (b, 3, h, w) float32. A pixel of the other view lies in the neighbour view at its own place plus (x, y), the first
    two channels; the third is 1 where that can be trusted, else 0.
    truth: view -> (b, h, w) uint8, the dataset's own label where there is one, hidden from training or not, else 255.
    """

    images: dict[str, Tensor]
    labels: dict[str, Tensor]
    distortions: dict[str, Tensor] = field(default_factory=dict)
    clips: dict[str, list[int]] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)
    flows: dict[str, Tensor] = field(default_factory=dict)
    truth: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Batch:
    """One micro-batch as a method sees it.

    views: name -> (b, 3, h, w) float32, normalised. labels: name -> (b, h, w) int64, 255 = ignore. clips, places and
    flows as in RawBatch. guesses: what a method took for the label of a view, put here by `methods.base.guess`.
    """

    views: dict[str, Tensor]
    labels: dict[str, Tensor]
    clips: dict[str, list[int]] = field(default_factory=dict)
    places: dict[str, list[Place]] = field(default_factory=dict)
    flows: dict[str, Tensor] = field(default_factory=dict)
    guesses: dict[str, Guess] = field(default_factory=dict)


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
