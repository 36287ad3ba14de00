"""EfficientNet-Lite1."""

from ifrkit.models.backbones._efficientnet_lite import LiteBackbone, public_weights


class Backbone(LiteBackbone):
    """Width 1.0, depth 1.1 of lite0's."""

    widths, depths = 1.0, 1.1
    public = public_weights(
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    )
