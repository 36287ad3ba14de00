"""The two networks of DAVSS (Zhuang et al., TCSVT 2020): where a warp went wrong, and what is there.

Names of parameters are those of the released code: conv1.0.{depthwise,depthwise_bn,pointwise,pointwise_bn}, conv1.1 ..
conv4 of the distortion network; convN.{0,1}, deconvN.0, predict_cc of the correction network.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.core.precision import at_least_float32
from ifrkit.models.layers import scale_channels
from ifrkit.models.norm_rules import require_values

_SLOPE = 0.1
_SLOW = 3e-4
"""Momentum of the batch norms inside the separable convolutions; the others have torch's default."""


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    """Depthwise 3x3 and pointwise 1x1, each with batch norm and ReLU; then batch norm and ReLU once more."""
    inner: OrderedDict[str, nn.Module] = OrderedDict(
        depthwise=nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs),
        depthwise_bn=nn.BatchNorm2d(inputs, momentum=_SLOW),
        relu1=nn.ReLU(),
        pointwise=nn.Conv2d(inputs, outputs, 1),
        pointwise_bn=nn.BatchNorm2d(outputs, momentum=_SLOW),
        relu2=nn.ReLU(),
    )
    return nn.Sequential(nn.Sequential(inner), nn.BatchNorm2d(outputs), nn.ReLU())


class DistortionNet(nn.Module):
    """DMNet: how unlike two images are in each pixel, (b, 1, h, w) in 0..1. 764 parameters, shared by both images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = _separable(3, 4), _separable(4, 8), _separable(8, 16)
        self.conv4 = nn.Conv2d(16, 16, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # all layers have one

    def features(self, images_b3hw: Tensor) -> Tensor:
        """(b, 16, h, w)."""
        x: Tensor = self.conv4(self.conv3(self.conv2(self.conv1(images_b3hw))))
        return x

    def forward(self, warped_b3hw: Tensor, current_b3hw: Tensor) -> Tensor:
        """The warped key image beside the current one, both normalised. float32, because it feeds a cross entropy."""
        warped, current = (at_least_float32(self.features(x)) for x in (warped_b3hw, current_b3hw))
        similar = F.cosine_similarity(warped, current, dim=1)
        return ((1 - similar) / 2).clamp(0, 1)[:, None]


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layers = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(_SLOPE)
    return nn.Sequential(*layers)


def _deconv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, bias=False), nn.LeakyReLU(_SLOPE))


class CorrectionNet(nn.Module):
    """CFNet: scores (b, num_classes, h/4, w/4) from the current image alone, a U-Net down to 1/64.

    width multiplies every channel count; 1 is the released network (9,487,699 parameters for 19 classes).
    """

    def __init__(self, num_classes: int, width: float = 1.0) -> None:
        super().__init__()
        c32, c64, c128, c256, c512 = (scale_channels(c, width) for c in (32, 64, 128, 256, 512))
        self.conv1, self.conv2 = _conv(3, c32, 2), _conv(c32, c64, 2)
        self.conv3, self.conv3_1 = _conv(c64, c128, 2), _conv(c128, c128)
        self.conv4, self.conv4_1 = _conv(c128, c256, 2), _conv(c256, c256)
        self.conv5, self.conv5_1 = _conv(c256, c256, 2), _conv(c256, c256)
        self.conv6, self.conv6_1 = _conv(c256, c512, 2), _conv(c512, c512)
        self.deconv5, self.deconv4 = _deconv(c512, c256), _deconv(2 * c256, c128)
        self.deconv3, self.deconv2 = _deconv(c256 + c128, c64), _deconv(c128 + c64, c32)
        self.predict_cc = nn.Conv2d(c64 + c32, num_classes, 1)

    def forward(self, images_b3hw: Tensor) -> Tensor:
        """Normalised images of the full size. Raises ConfigError where training has one value a channel at 1/64."""
        if self.training:
            require_values(len(images_b3hw), images_b3hw.shape[-2:])
        skip2 = self.conv2(self.conv1(images_b3hw))
        skip3 = self.conv3_1(self.conv3(skip2))
        skip4 = self.conv4_1(self.conv4(skip3))
        skip5 = self.conv5_1(self.conv5(skip4))
        x = _join(skip5, self.deconv5(self.conv6_1(self.conv6(skip5))))
        x = _join(skip4, self.deconv4(x))
        x = _join(skip3, self.deconv3(x))
        scores_bkhw: Tensor = self.predict_cc(_join(skip2, self.deconv2(x)))
        return scores_bkhw


def _join(skip: Tensor, grown: Tensor) -> Tensor:
    """Both maps, the grown one cut to the size of the other as in FlowNet."""
    h, w = skip.shape[-2:]
    return torch.cat([skip, grown[..., 1 : 1 + h, 1 : 1 + w]], dim=1)
