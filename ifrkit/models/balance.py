"""Against class imbalance: weights of classes by their labeled pixels, and losses that do not count pixels alone.

Few labels of a street are mostly road and sky. A loss that is a mean over pixels then gives the small classes up.

    power        weight 1 / frequency^power; a power of 1/2 is the usual square root
    median       weight median frequency / frequency (Eigen and Fergus, ICCV 2015)
    effective    weight (1 - beta) / (1 - beta^n), n the number of samples (Cui et al., CVPR 2019)
    ohem         only pixels whose class has less than 0.7, or the worst 1/16 (Shrivastava et al., CVPR 2016)
    lovasz       cross entropy + the Lovasz extension of 1 - IoU (Berman et al., CVPR 2018)
    dice         cross entropy + 1 - soft Dice (Milletari et al., 3DV 2016)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ifrkit.config.training import BalanceConfig
from ifrkit.core.precision import at_least_float32
from ifrkit.core.records import IGNORE
from ifrkit.models.losses import Mean, cross_entropy

BETA = 0.999
"""Of the effective number: Cui et al. try 0.9 to 0.9999."""
CELL = 32 * 32
"""Pixels that count as one sample there: neighbours are copies of each other."""
EASY, LEAST = 0.7, 1 / 16
"""OHEM: a pixel is easy from this probability on; so large a share of the labeled pixels counts at least."""


def class_weights(pixels_k: Sequence[int], config: BalanceConfig) -> NDArray[np.float32] | None:
    """(k) weights whose mean over the labeled pixels is 1, then capped; None where the choice has no weights.

    pixels_k: labeled pixels of each class. A class without any has weight 0: no label says what it looks like.
    """
    pixels = np.asarray(pixels_k, np.float64)
    seen = pixels > 0
    if config.by not in ("power", "median", "effective") or not seen.any():
        return None
    share = np.where(seen, pixels / pixels.sum(), 1.0)
    if config.by == "power":
        raw = share**-config.power
    elif config.by == "median":
        raw = np.median(share[seen]) / share
    else:
        raw = (1 - BETA) / (1 - BETA ** np.maximum(pixels / CELL, 1))
    weights = np.where(seen, raw, 0.0)
    capped: NDArray[np.float32] = np.minimum(weights / (weights * share).sum(), config.cap).astype(np.float32)
    return capped


def supervised_loss(
    logits_bkhw: Tensor, label_bhw: Tensor, config: BalanceConfig, mean: Mean, weight_k: Tensor | None
) -> Tensor:
    """Eq. (1) with the choice of `config`; scalar. label: 255 = ignore. weight_k: of `class_weights`."""
    if config.by == "ohem":
        return ohem(logits_bkhw, label_bhw)
    loss = cross_entropy(logits_bkhw, label_bhw, mean, weight_k)
    if config.by == "lovasz":
        return loss + lovasz(logits_bkhw, label_bhw)
    if config.by == "dice":
        return loss + dice(logits_bkhw, label_bhw)
    return loss


def ohem(logits_bkhw: Tensor, label_bhw: Tensor) -> Tensor:
    """Mean cross entropy of the hard pixels; 0 without any label."""
    known = label_bhw != IGNORE
    if not known.any():
        return 0.0 * logits_bkhw.sum()
    logits = at_least_float32(logits_bkhw)
    losses_p = F.cross_entropy(logits, label_bhw, ignore_index=IGNORE, reduction="none")[known]
    least = max(1, int(LEAST * len(losses_p)))
    worst = losses_p.topk(least).values
    limit = torch.minimum(worst[-1], losses_p.new_tensor(-np.log(EASY)))
    hard = losses_p >= limit.detach()
    return losses_p[hard].mean()


def lovasz(logits_bkhw: Tensor, label_bhw: Tensor) -> Tensor:
    """Lovasz-softmax over the classes that the batch shows, Eq. (9) and Alg. 1 of Berman et al.; 0 without a label."""
    known = label_bhw != IGNORE
    probability_pk = at_least_float32(logits_bkhw).softmax(1).movedim(1, -1)[known]
    label_p = label_bhw[known]
    terms = []
    for k in torch.unique(label_p).tolist():
        truth_p = (label_p == k).to(probability_pk.dtype)
        error_p, order_p = (truth_p - probability_pk[:, k]).abs().sort(descending=True)
        truth_p = truth_p[order_p]
        intersection = truth_p.sum() - truth_p.cumsum(0)
        union = truth_p.sum() + (1 - truth_p).cumsum(0)
        jaccard = 1 - intersection / union
        jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()  # Alg. 1: the gradient of the extension
        terms.append(error_p @ jaccard)
    return torch.stack(terms).mean() if terms else 0.0 * logits_bkhw.sum()


def dice(logits_bkhw: Tensor, label_bhw: Tensor) -> Tensor:
    """1 - 2 sum(p y) / (sum(p^2) + sum(y)), mean over the classes that the batch shows; 0 without a label."""
    known = label_bhw != IGNORE
    probability_pk = at_least_float32(logits_bkhw).softmax(1).movedim(1, -1)[known]
    truth_pk = F.one_hot(label_bhw[known], logits_bkhw.shape[1]).to(probability_pk.dtype)
    shown = truth_pk.any(0)
    if not shown.any():
        return 0.0 * logits_bkhw.sum()
    overlap_k = 2 * (probability_pk * truth_pk).sum(0)
    size_k = (probability_pk**2).sum(0) + truth_pk.sum(0)
    return (1 - overlap_k / size_k.clamp(min=1e-6))[shown].mean()
