"""EfficientNet-Lite0."""

from ifrkit.models.backbones._efficientnet_lite import LiteBackbone, public_weights


class Backbone(LiteBackbone):
    """Width 1.0, depth 1.0 of lite0's."""

    widths, depths = 1.0, 1.0
    public = public_weights(
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
