"""ResNet-101: blocks of three convolutions."""

from ifrkit.models.backbones._resnet import ResNetBackbone


class Backbone(ResNetBackbone):
    """The heavy one: the reference branch of the paper."""

    bottleneck = True
    depths = (3, 4, 23, 3)
    norm = 2  # the released code does not synchronise it: 2 images on each of 2 GPUs
