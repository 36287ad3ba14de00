"""EfficientNet-Lite2."""

from ifrkit.models.backbones._efficientnet_lite import LiteBackbone, public_weights


class Backbone(LiteBackbone):
    """Width 1.1, depth 1.2 of lite0's."""

    widths, depths = 1.1, 1.2
    public = public_weights(
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    )
