"""S4GAN, the generative branch of "high- and low-level consistency" (Mittal et al., TPAMI 2019).

A discriminator D looks at an image together with a map of classes and tells labels from predictions, one answer for
each image. The network S learns to make predictions of unlabeled frames whose features in D are those of labels, and
from its own hard labels of those frames that D takes for labeled ones. The image-level classifier of the paper's other
branch (MLMT) needs tags of whole images and is not part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifrkit.core.bounds import NotNegative, Positive
from ifrkit.core.precision import at_least_float32
from ifrkit.core.records import IGNORE
from ifrkit.methods import base
from ifrkit.methods._adversarial import Adversarial, called, frozen, one_hot
from ifrkit.models import parts
from ifrkit.models.losses import cross_entropy, upsample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.data.loading.batch import Batch
    from ifrkit.models.network import Network


def feature_matching_loss(labeled_bc: Tensor, predicted_bc: Tensor) -> Tensor:
    """L_fm: mean over channels of the distance between the mean features of labels and those of predictions."""
    return (labeled_bc.mean(0) - predicted_bc.mean(0)).abs().mean()


def self_training_loss(logits_bkhw: Tensor, own_bhw: Tensor, answers_b: Tensor, threshold: float) -> Tensor:
    """L_st: CE with the network's own labels, the mean over images where sigmoid(D) > threshold; 0 without any."""
    good_b = at_least_float32(answers_b.detach()).sigmoid() > threshold
    return cross_entropy(logits_bkhw, own_bhw.masked_fill(~good_b[:, None, None], IGNORE), "valid")


class Method(Adversarial):
    """Terms of S: feature matching and self-training, on unlabeled frames; and the term of D."""

    class Config(Adversarial.Config):
        """Constants of the released code, where they differ those of its Cityscapes command."""

        match: NotNegative = 0.1
        """lambda_fm."""
        self_training: NotNegative = 1.0
        """lambda_st."""
        threshold: NotNegative = 0.7
        """gamma: how sure D must be of an image (VOC: 0.6)."""
        lr: Positive = 1e-5
        """Of the discriminator's Adam (VOC: 1e-4); falls to 0 like the network's."""

    config: Config
    OFF = {"match": 0.0, "self_training": 0.0}
    OPEN = {"threshold": 0.0}

    def make(self, num_classes: int) -> nn.Module:
        return parts.ImageDiscriminator(num_classes, self.config.channels)

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """For S: match * L_fm + self_training * L_st. For D: half of the cross entropy of each kind, L_D."""
        c = self.config
        label_bhw = batch.labels["v0_0"]
        image_b3hw = network.denormalise(batch.views["v0_0"]) / 255
        real = one_hot(label_bhw, network.num_classes).to(image_b3hw.dtype), image_b3hw
        f_bchw = base.encode(network, batch, features, "v1_0")
        logits_bkhw = upsample(network.classify(f_bchw), network.stride, label_bhw.shape[-2:])
        fake = logits_bkhw.softmax(1), network.denormalise(batch.views["v1_0"]) / 255
        answers_b, predicted_bc = frozen(self.discriminator, *fake)
        terms: dict[str, Tensor] = {}
        if c.match:
            terms["match"] = c.match * feature_matching_loss(frozen(self.discriminator, *real)[1], predicted_bc)
        if c.self_training:
            own_bhw = upsample(base.clean_logits(network, f_bchw), network.stride, label_bhw.shape[-2:]).argmax(1)
            good_b = answers_b.sigmoid() > c.threshold
            base.guess(batch, "v1_0", own_bhw, good_b[:, None, None].expand_as(own_bhw))
            loss = self_training_loss(logits_bkhw, own_bhw, answers_b, c.threshold)
            terms["self_training"] = c.self_training * (step > 0) * loss  # at step 0 D knows nothing
        taken_b, _ = self.discriminator(*(part.detach() for part in fake))
        meant_b, _ = self.discriminator(*real)
        return {**terms, "discriminator": (called(False, taken_b) + called(True, meant_b)) / 2}
