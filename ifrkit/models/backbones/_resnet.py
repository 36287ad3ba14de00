"""What ResNet-18, -34, -50 and -101 (He et al., CVPR 2016) have in common; the layers are in _resnet_layers.py.

Public files and what their names become:

    deep-stem ImageNet ResNet (CSAIL,       conv1 bn1 .. conv3 bn3           stem.0.*
      semseg), and torchvision ResNet       layerL.B.*                       layerL.B.*
      (one conv1, for `stem: basic`)        fc.*                             dropped
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from ifrkit.config.network import NetworkConfig
from ifrkit.models.backbones import base

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.models.trunk import Trunk


class ResNetBackbone(base.Backbone):
    """Stages 3 and 4 dilate where their stride is taken away."""

    class Config(NetworkConfig):
        """Its stem."""

        stem: Literal["deep", "basic"] = "deep"
        """deep: three 3x3 convolutions, 128 channels (released code); basic: one 7x7, 64 channels (torchvision)."""

    config: Config
    strides = (8, 16, 32)
    bottleneck: ClassVar[bool]
    depths: ClassVar[tuple[int, int, int, int]]
    """Blocks of layer1 to layer4."""

    def build(self, low_level: bool) -> Trunk:
        """The low-level map is that of layer1, at 1/4."""
        from ifrkit.models.backbones._resnet_layers import BasicBlock, Bottleneck, ResNet

        block = Bottleneck if self.bottleneck else BasicBlock
        return ResNet(block, self.depths, self.config.stem, self.config.width, self.stride, low_level)

    def import_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See the table above."""
        kept = {key: value for key, value in state.items() if not key.startswith("fc.")}
        return {re.sub(r"^(conv|bn)\d\.", r"stem.0.\g<0>", key): value for key, value in kept.items()}

    def remedy(self, state: Mapping[str, Tensor]) -> str:
        """Names the stem of the file."""
        stem = "deep" if "stem.0.conv2.weight" in state else "basic"
        return f"the file looks like a {stem}-stem ResNet: set backbone and stem to match"
