"""The temperature of a trained model (Guo et al., ICML 2017): softmax(logits / T) says how often the model is right.

One number, fitted at the end of training on held-out labels. It changes no class id, only how sure the model is.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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


class Sample(NamedTuple):
    """Labeled pixels: their logits, and their true classes."""

    logits_nk: NDArray[np.float32]
    truth_n: NDArray[np.int64]


def temperatures(
    store: ClipStore, weights: Mapping[str, Path], use: Callable[[Path], None], logits: Logits, display: Display
) -> dict[str, float]:
    """The temperature of each checkpoint ("best", "last"); empty without val labels.

    weights: file of each; use: makes `logits` those of that file. Every rank fits the same: val is small.
    """
    places = spread(store)
    distributed.largest(0)  # rank 0 has written the files when it comes here
    found: dict[str, float] = {}
    for name, path in weights.items() if places else ():
        same = next((other for other in found if filecmp.cmp(path, weights[other], shallow=False)), None)
        if same is not None:  # the last step was the best one
            found[name] = found[same]
            continue
        use(path)
        value = fit(*together([sampled(store, place, logits) for place in places]))
        if value is not None:
            found[name] = value
    if found:
        said = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        display.info(f"temperature fitted on {len(places)} val frames: {said}")
    return found


def spread(store: ClipStore) -> list[tuple[int, int]]:
    """(clip, position) of the val frames that temperatures are fitted on."""
    places = validation.annotated(store)
    count = min(FRAMES, len(places))
    return [places[i * len(places) // count] for i in range(count)]


@torch.inference_mode()
def sampled(store: ClipStore, place: tuple[int, int], logits: Logits, most: int = PIXELS) -> Sample:
    """At most so many labeled pixels of a frame, spread evenly."""
    label = torch.from_numpy(store.label(*place, hidden=True)).flatten()
    known = (label < store.labels.num_classes).nonzero()[:, 0]
    count = min(most, len(known))
    chosen = known[torch.arange(count) * len(known) // max(1, count)]
    seen_kn = logits(*place)[0].flatten(1).float().cpu()
    return Sample(seen_kn[:, chosen].T.numpy(), label[chosen].numpy().astype(np.int64))


def together(samples: Sequence[Sample]) -> Sample:
    """Of several frames; at least one."""
    logits_nk, truth_n = zip(*samples, strict=True)
    return Sample(np.concatenate(logits_nk), np.concatenate(truth_n))


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
