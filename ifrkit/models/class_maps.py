"""Class maps of PseudoSeg (Zou et al., ICLR 2021): which classes an image shows, where, and what looks alike.

Letters as in core/records.py; p = h * w pixels of a map.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32
from ifrkit.models.batch_norm import set_rule


class ClassMaps(nn.Module):
    """An image-level classifier on the last map of a backbone, and its class maps, refined by self-attention (SGC)."""

    def __init__(self, channels: int, num_classes: int, attention: int = 128) -> None:
        """channels: of the backbone's last map. attention: channels of keys and queries."""
        super().__init__()
        self.classes = nn.Linear(channels, num_classes)
        self.key = nn.Conv2d(channels, attention, 1, bias=False)
        self.query = nn.Conv2d(channels, attention, 1, bias=False)
        self.calibrate = nn.Sequential(nn.Conv2d(num_classes, num_classes, 1, bias=False), nn.BatchNorm2d(num_classes))
        set_rule(self.calibrate, "sync")

    def classify(self, x_bchw: Tensor) -> Tensor:
        """Logits (b, k) of "this class is in the image": a linear layer on the mean over the map."""
        logits_bk: Tensor = self.classes(x_bchw.mean((2, 3)))
        return logits_bk

    def grad_cam(self, x_bchw: Tensor, present_bk: Tensor) -> Tensor:
        """Grad-CAM of each class (b, k, h, w) in 0..1, 0 where the class is not present; at least float32, detached.

        The gradient of a linear layer on a mean is its weight, divided by h * w, in every pixel. So Grad-CAM,
        relu(sum_c mean(dlogit_k / dx_c) x_c), is relu(w_k x) up to a factor, and the largest value becomes 1 anyway.
        """
        with torch.no_grad():
            weight_kc = self.classes.weight
            cam_bkhw = at_least_float32(torch.einsum("kc,bchw->bkhw", weight_kc, x_bchw.to(weight_kc.dtype))).relu()
            cam_bkhw = cam_bkhw * present_bk[:, :, None, None]
            return cam_bkhw / cam_bkhw.amax((2, 3), keepdim=True).clamp(min=1e-5)

    def refine(self, cam_bkhw: Tensor, x_bchw: Tensor) -> Tensor:
        """SGC: logits (b, k, h, w) of class maps, each pixel joined by those that look like it.

        softmax(Q K^T / sqrt(d)) M + M, then a 1x1 convolution with batch norm makes logits of the scores. Maps and
        features are constants: what learns is keys, queries and the last layer.
        """
        x_bchw, (b, k, h, w) = x_bchw.detach(), cam_bkhw.shape
        query_bdp, key_bdp = self.query(x_bchw).flatten(2), self.key(x_bchw).flatten(2)
        alike_bpp = at_least_float32(query_bdp.transpose(1, 2) @ key_bdp) / math.sqrt(key_bdp.shape[1])
        with torch.autocast(x_bchw.device.type, enabled=False):
            joined_bkp = cam_bkhw.flatten(2) @ alike_bpp.softmax(2).transpose(1, 2)
            logits_bkhw: Tensor = self.calibrate(joined_bkp.view(b, k, h, w) + cam_bkhw)
        return logits_bkhw


def presence_loss(logits_bk: Tensor, present_bk: Tensor) -> Tensor:
    """Binary cross entropy of every class, the mean over images and classes."""
    logits_bk = at_least_float32(logits_bk)
    return F.binary_cross_entropy_with_logits(logits_bk, present_bk.to(logits_bk.dtype))
