"""DARS, distribution alignment and random sampling (He et al., ICCV 2021): pseudo labels as rare as the labels say.

    ifrkit train-branches --ssl none | ifrkit pseudo-label | ifrkit train-branches --ssl dars
    ... | ifrkit pseudo-label | ifrkit train-branches --recipe ...,dars-round-2 --ssl dars

Self-training whose labels keep, of each class, as many pixels as its share of the labeled pixels asks for. Most
confident ones come first, so each class has a threshold of its own. A sure network is equally sure of many pixels, so
more than wanted are at the threshold; then a random part of all that passed is kept. From round to round more pixels
are labeled, and the frames are enlarged by a wider range (progressive labeling and augmentation).

What is left out of the released augmentation: its turns by up to 10 degrees. Every round begins like the first one;
the released code goes on from the weights of the round before. Confidences have 256 levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from ifrkit.core.bounds import Positive
from ifrkit.core.lazy import np
from ifrkit.core.records import IGNORE, Label, Window
from ifrkit.data.loading.views import Copy, Random, Reading, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods._offline import KIND, Offline
from ifrkit.models.losses import Mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLUR = Jitter(0.0, 0.0, 0.0, 0.0, probability=0.0, gray=0.0, blur=(1.1, 1.1))
"""Half of the frames, as in the released code; OpenCV's 5x5 window has this spread."""


def alignment(
    counts_kl: NDArray[np.int64], labeled_k: NDArray[np.int64], ratio: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Lowest level of confidence of each class that counts, and which share of the pixels from there on is kept, 0..1.

    counts_kl: pixels of each predicted class at each level of confidence. labeled_k: labeled pixels of each class.
    ratio: how many of all pixels shall keep a label. A class that no label shows keeps none.
    """
    shares_k = labeled_k / max(1, labeled_k.sum())  # the class distribution of the labels
    wanted_k = np.floor(ratio * shares_k * counts_kl.sum())
    reached_kl = counts_kl[:, ::-1].cumsum(1)[:, ::-1]  # pixels of this level or a higher one
    levels_k = np.maximum((reached_kl >= wanted_k[:, None]).sum(1) - 1, 0)  # distribution alignment
    passed_k = np.take_along_axis(reached_kl, levels_k[:, None], 1)[:, 0]
    return levels_k, np.minimum(1.0, wanted_k / np.maximum(1, passed_k))  # random sampling


@dataclass(frozen=True)
class Aligned(Random):
    """Any frame, with those pixels of its pseudo label that alignment and sampling keep; the others are 255.

    The sample is drawn once for a frame. scale: the frames of an unlabeled clip are enlarged by a factor from it.
    """

    ratio: float
    scale: tuple[float, float]

    def enlarged(self, rng: np.random.Generator) -> float | None:
        return None if self.scale == (1.0, 1.0) else float(rng.uniform(*self.scale))

    def label(self, reading: Reading, frame: int, window: Window) -> Label | None:
        source = reading.sources.get(KIND)
        if source is None:
            return None
        label, levels = source.scored(reading.clip, frame, window)
        if levels is None:  # the dataset's own label
            return label
        lowest_k, share_k = alignment(*source.statistics(), self.ratio)
        known = label != IGNORE  # a propagated label does not reach everywhere
        id_hw = np.where(known, label, 0)
        kept = known & (levels >= lowest_k[id_hw]) & (source.chance(reading.clip, frame, window) < share_k[id_hw])
        return np.where(kept, label, np.uint8(IGNORE))


class Method(Offline):
    """One term: cross entropy of an enlarged frame of an unlabeled clip with what is kept of its pseudo label."""

    class Config(Offline.Config):
        """Constants of the released Cityscapes runs, first round; recipe `dars-round-2` has those of the second."""

        mean: Mean = "valid"
        ratio: Annotated[float, Meta(gt=0, le=1)] = 0.2
        """How many of all pixels keep a pseudo label."""
        scale: tuple[Positive, Positive] = (0.5, 2.0)
        """Unlabeled frames are enlarged by a factor from this range, never below the size of the crop."""

    config: Config

    def views(self) -> list[View]:
        placement = Aligned(self.config.ratio, self.config.scale)
        return [View("aligned", "unlabeled", placement), View("aligned_b", "unlabeled", Copy("aligned", BLUR))]
