"""Offline self-training: a fresh network learns from labels and from another network's hard labels, half and half.

    ifrkit train-branches --ssl none | ifrkit pseudo-label | ifrkit train-branches --ssl self-training

Another round: pipe it into `pseudo-label` and `train-branches --ssl self-training` again.

The scheme of Naive-Student (Chen et al., ECCV 2020) and ST (Yang et al., CVPR 2022): hard labels of every frame, no
threshold unless asked for, distortion on pseudo-labeled images only. A label of the dataset is never replaced: a
frame that may show its own label is taught with that. The defaults are those of ST; recipe `naive-student` has the
other paper's.
"""

from __future__ import annotations

from dataclasses import dataclass

from ifrkit.core.bounds import Share
from ifrkit.core.records import Label, Window
from ifrkit.data.loading.views import Copy, Random, Reading, View
from ifrkit.data.pixels.jitter import Jitter
from ifrkit.methods._offline import KIND, Offline
from ifrkit.methods.fixmatch import JITTER


@dataclass(frozen=True)
class PseudoLabeled(Random):
    """Any frame, with its label of the pseudo-labels artifact; 255 where the confidence is below the threshold."""

    threshold: float

    def label(self, reading: Reading, frame: int, window: Window) -> Label | None:
        source = reading.sources.get(KIND)
        return None if source is None else source.label(reading.clip, frame, window, self.threshold)


class Method(Offline):
    """One term: cross entropy of a frame of an unlabeled clip with its pseudo label."""

    class Config(Offline.Config):
        """Defaults of ST, at the geometry of the common protocol."""

        threshold: Share = 0.0
        """Pixels with less confidence are ignored."""
        distort: bool = True
        """Jitter the colours of pseudo-labeled frames, turn them gray or blur them, as ST does."""

    config: Config

    def views(self) -> list[View]:
        plain = View("pseudo", "unlabeled", PseudoLabeled(self.config.threshold))
        copy = View("pseudo_s", "unlabeled", Copy("pseudo", Jitter(*JITTER)))
        return [plain, copy] if self.config.distort else [plain]
