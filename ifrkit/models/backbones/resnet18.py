"""ResNet-18: blocks of two convolutions."""

from ifrkit.models.backbones._resnet import ResNetBackbone


class Backbone(ResNetBackbone):
    """The light one: the update branch of the paper."""

    bottleneck = False
    depths = (2, 2, 2, 2)
