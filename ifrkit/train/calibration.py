"""The temperature of a trained model (Guo et al., ICML 2017): softmax(logits / T) says how often the model is right.

One number, fitted at the end of training on held-out labels. It changes no class id, only how sure the model is.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ifrkit.artifacts.job import Display
from ifrkit.core.lazy import lazy
from ifrkit.data.store.clips import ClipStore
from ifrkit.train import distributed, validation

if TYPE_CHECKING:
    from scipy import optimize, special
else:
    optimize, special = lazy("scipy.optimize"), lazy("scipy.special")

FRAMES = 100
"""At most so many val frames, spread evenly ..."""
PIXELS = 4096
"""... and of each so many labeled pixels, which bounds memory."""
RANGE = (0.05, 20.0)

Logits = Callable[[int, int], Tensor]
"""(clip, position) -> logits (1, k, h, w) of the frame, at its own size."""


def temperatures(
    store: ClipStore, weights: Mapping[str, Path], use: Callable[[Path], None], logits: Logits, display: Display
) -> dict[str, float]:
    """The temperature of each checkpoint ("best", "last"); empty without val labels.

    weights: file of each; use: makes `logits` those of that file. Every rank fits the same: val is small.
    """
    places = _spread(validation.annotated(store))
    distributed.largest(0)  # rank 0 has written the files when it comes here
    found: dict[str, float] = {}
    for name, path in weights.items() if places else ():
        same = next((other for other in found if filecmp.cmp(path, weights[other], shallow=False)), None)
        if same is not None:  # the last step was the best one
            found[name] = found[same]
            continue
        use(path)
        value = _of_frames(store, places, logits)
        if value is not None:
            found[name] = value
    if found:
        said = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        display.info(f"temperature fitted on {len(places)} val frames: {said}")
    return found


def _spread(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    count = min(FRAMES, len(places))
    return [places[i * len(places) // count] for i in range(count)]


@torch.inference_mode()
def _of_frames(store: ClipStore, places: list[tuple[int, int]], logits: Logits) -> float | None:
    rows, truth = [], []
    for clip, index in places:
        label = torch.from_numpy(store.label(clip, index, hidden=True)).flatten()
        known = (label < store.labels.num_classes).nonzero()[:, 0]
        count = min(PIXELS, len(known))
        chosen = known[torch.arange(count) * len(known) // max(1, count)]
        seen_kn = logits(clip, index)[0].flatten(1).float().cpu()
        rows.append(seen_kn[:, chosen].T.numpy())
        truth.append(label[chosen].numpy())
    return fit(np.concatenate(rows), np.concatenate(truth).astype(np.int64))


def fit(logits_nk: NDArray[np.float32], truth_n: NDArray[np.int64]) -> float | None:
    """The T in RANGE with the largest likelihood of the true classes; None without pixels of finite logits."""
    finite = np.isfinite(logits_nk).all(1)
    scores, truth_n = logits_nk[finite].astype(np.float64), truth_n[finite]
    if not len(truth_n):
        return None
    scores -= scores.max(1, keepdims=True)
    true = scores[np.arange(len(scores)), truth_n]

    def loss(log_t: float) -> float:
        return float((special.logsumexp(scores / np.exp(log_t), axis=1) - true / np.exp(log_t)).mean())

    bounds = float(np.log(RANGE[0])), float(np.log(RANGE[1]))
    result = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(result.x))
