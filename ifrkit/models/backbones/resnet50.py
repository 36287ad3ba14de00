"""ResNet-50: blocks of three convolutions."""

from ifrkit.models.backbones._resnet import ResNetBackbone


class Backbone(ResNetBackbone):
    """As many blocks as ResNet-34, four times as wide at the end."""

    bottleneck = True
    depths = (3, 4, 6, 3)
