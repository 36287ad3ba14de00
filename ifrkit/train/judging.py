"""How good the pseudo labels of the methods are, by labels that are hidden from training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ifrkit.core.records import IGNORE
from ifrkit.data.loading.batch import Guess
from ifrkit.train import distributed


class Judge:
    """Compares what the methods guess with the truth of the present batch, which it shows to nobody."""

    def __init__(self) -> None:
        self._truth: Mapping[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
        """Pixels of each method's guesses, summed: (right, sure enough to count, with a known label)."""

    def expect(self, truth: Mapping[str, Tensor]) -> None:
        """Take the true labels (b, h, w) uint8 of the next batch, by view; 255: not known."""
        self._truth = truth

    @torch.no_grad()
    def hear(self, method: str, guesses: Mapping[str, Guess]) -> None:
        """Count a method's guesses; a map is compared with the pixels in the middle of its cells."""
        for view in guesses.keys() & self._truth.keys():
            label_bhw, counts_bhw = guesses[view]
            truth_b1hw = self._truth[view][:, None].to(label_bhw.device, torch.float32)
            truth_bhw = F.interpolate(truth_b1hw, label_bhw.shape[-2:], mode="nearest-exact")[:, 0].long()
            known = truth_bhw != IGNORE
            counts = known if counts_bhw is None else known & counts_bhw
            found = torch.stack([(counts & (label_bhw == truth_bhw)).sum(), counts.sum(), known.sum()])
            self._counts[method] = self._counts.get(method, 0) + found

    def notes(self) -> dict[str, Any]:
        """Since the last call, over all ranks: accuracy of each method, and the share of pixels that counted."""
        counts, self._counts = self._counts, {}
        sums = distributed.summed({name: found.cpu().numpy() for name, found in counts.items()})
        notes = {}
        for name, (right, counted, known) in sums.items():
            if known:
                notes[name] = {"accuracy": right / counted if counted else None, "share": counted / known}
        return {"pseudo": notes} if notes else {}
