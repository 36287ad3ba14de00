"""What a head defines: from the maps of a backbone to the feature f, and from f to logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from ifrkit.models.layers import init_convolutions


class Head(nn.Module):
    """One choice of `head`. Subclass it as `Head` in `ifrkit/models/heads/NAME.py`.

    Its constructor takes (channels, strides, num_classes, dropout, width): channels and strides of each map of the
    backbone, and what to multiply channel counts of its own by. It refuses nothing: a dry run does not build it.
    Dropout belongs to the classifier, not to the feature: every call of `classify` in training mode draws its own
    mask of whole channels, and what a method reads from `features` is never dropped.
    """

    low_level: ClassVar[bool] = False
    """Whether it reads two maps, an earlier one before the last; else the last one alone."""
    pools: ClassVar[bool] = False
    """Whether a batch norm of its sees one value of each image (pooling to 1x1), so that one image cannot train it."""

    def __init__(self, feature_channels: int, stride: int, num_classes: int, dropout: float) -> None:
        """feature_channels and stride: of the feature f."""
        super().__init__()
        self.feature_channels, self.stride = feature_channels, stride
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(feature_channels, num_classes, 1)
        """The classifier; methods and architectures read it."""

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """Backbone maps -> f (b, feature_channels, ceil(h / stride), ceil(w / stride)), not negative."""
        return self.before_relu(maps).relu()

    def before_relu(self, maps: Sequence[Tensor]) -> Tensor:
        """Backbone maps -> f before its ReLU, of either sign (TDC compares directions of it)."""
        raise NotImplementedError

    def classify(self, f_bchw: Tensor) -> Tensor:
        """f -> logits (b, num_classes, h, w), through channel dropout in training mode."""
        logits_bkhw: Tensor = self.conv_seg(self.dropout(f_bchw))
        return logits_bkhw

    def start(self) -> None:
        """Random weights; the last line of a constructor. The classifier starts small."""
        init_convolutions(self)
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        assert self.conv_seg.bias is not None
        nn.init.zeros_(self.conv_seg.bias)
