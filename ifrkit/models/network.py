"""One segmentation branch: images -> feature f -> logits, with the key names of released checkpoints.

    backbone.stem.0.{conv,bn}N          stem (deep: N = 1..3, basic: N = 1)
    backbone.layerL.B.{conv,bn}N        block B of layer L; its projected shortcut is downsample.{0,1}
    decode_head.psp_modules.S.1         pyramid scale S (0 is the pooling)
    decode_head.bottleneck              makes the feature f (of the other head: see heads/deeplabv3plus.py)
    decode_head.conv_seg                the classifier

Convolutions are `weight`, batch norms weight, bias, running_mean, running_var, num_batches_tracked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.core.keyed import key_seed
from ifrkit.core.plugins import load
from ifrkit.models.batch_norm import set_rule
from ifrkit.models.cells import enlarged
from ifrkit.models.layers import seeded
from ifrkit.models.norm_rules import rules_of
from ifrkit.models.normalisation import Normalisation

if TYPE_CHECKING:
    from ifrkit.models.backbones.base import Backbone
    from ifrkit.models.heads.base import Head
    from ifrkit.models.trunk import Trunk


class Network(nn.Module):
    """Backbone and head, two plug-ins. Images are float32, normalised; f and logits are ceil(size / stride)."""

    temperature: float = 1.0
    """softmax(logits / temperature) is the probability: fitted on held-out labels after training."""

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        self.config, self.seed = network_config(config), 0
        head = load("heads", config.head)
        self.plugin: Backbone = load("backbones", config.backbone)(self.config)
        self.backbone: Trunk = self.plugin.build(head.low_level)
        self.backbone.freeze(self.config.freeze)
        maps = self.backbone.channels, self.backbone.strides
        self.decode_head: Head = head(*maps, num_classes, config.dropout, config.width)
        self.rules = rules_of(self.config, self.plugin)
        set_rule(self.backbone, self.rules["backbone"])
        set_rule(self.decode_head, self.rules["head"])
        self.num_classes, self.stride = num_classes, self.decode_head.stride
        self.feature_channels = self.decode_head.feature_channels
        self.normalisation: Normalisation = self.plugin.normalisation

    def normalise(self, frames_b3hw: Tensor) -> Tensor:
        """uint8 RGB (b, 3, h, w) -> the images that this network reads, float32 of the same shape."""
        return self.normalisation(frames_b3hw)

    def denormalise(self, images_b3hw: Tensor) -> Tensor:
        """RGB 0..255, float32, of images that were normalised for this network."""
        return self.normalisation.undo(images_b3hw)

    def features(self, images_b3hw: Tensor) -> Tensor:
        """The feature f of the paper: (b, feature_channels, h/stride, w/stride), after ReLU, before dropout."""
        return self.decode_head.features(self.backbone(images_b3hw))

    def before_relu(self, images_b3hw: Tensor) -> Tensor:
        """f before its ReLU, of either sign."""
        return self.decode_head.before_relu(self.backbone(images_b3hw))

    def classify(self, f_bchw: Tensor) -> Tensor:
        """Net_C of the paper: logits (b, num_classes, ...) at the size of f. In training each call drops channels."""
        return self.decode_head.classify(f_bchw)

    def forward(self, images_b3hw: Tensor) -> Tensor:
        """Logits (b, num_classes, h, w) at the size of the images."""
        height, width = images_b3hw.shape[-2:]
        return enlarged(self.classify(self.features(images_b3hw)), self.stride, (height, width))


def build_network(config: NetworkConfig, num_classes: int, seed: int) -> Network:
    """A network whose start is a function of (config, num_classes, seed); the global random state is left alone.

    With `config.pretrained` its weights come from that file. Raises ConfigError if there is none, and ArtifactError
    if it does not fit: training never starts from random weights by mistake.
    """
    from ifrkit.models.importers import load_pretrained

    with seeded(seed):
        network = Network(config, num_classes)
    network.seed = seed
    if config.pretrained is not None:
        load_pretrained(network, config.pretrained)
    return network


def sibling(network: Network) -> Network:
    """A second network of the same config whose random weights come from another seed (cross pseudo supervision)."""
    return build_network(network.config, network.num_classes, key_seed(network.seed, "sibling"))
