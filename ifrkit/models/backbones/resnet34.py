"""ResNet-34: blocks of two convolutions."""

from ifrkit.models.backbones._resnet import ResNetBackbone


class Backbone(ResNetBackbone):
    """Twice as deep as ResNet-18."""

    bottleneck = False
    depths = (3, 4, 6, 3)
