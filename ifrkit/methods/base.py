"""What a semi-supervised method defines: its views, its extra modules and its loss terms. Nothing else.

The loop owns optimizers, AMP, gradient accumulation, DDP, logging and checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ifrkit.core.config as base
from ifrkit.core.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ifrkit.data.loading.batch import Batch
    from ifrkit.data.loading.views import View
    from ifrkit.models.network import Network


class Method:
    """One --ssl choice. The supervised loss is not a method's business: the loop adds it, the same for all.

    A term whose weight is 0 must cost nothing: its views are not declared and its passes not run. The task leaves out a
    method that is off altogether, so only one with several terms has to look at their weights.
    """

    class Config(base.Config):
        """Constants of the method, each with its source."""

        def artifacts(self) -> dict[str, str]:
            """Artifacts that the method reads beside the clips: kind -> reference (path, id, or the kind itself)."""
            return {}

        def welcome(self) -> tuple[str, ...]:
            """Kinds of artifacts that it reads where they come through the pipe, and does without where they do not."""
            return ()

    OFF: ClassVar[Mapping[str, Any]] = {}
    """Options under which every term is off: all weights 0. Training then equals `none` bit for bit (a test checks)."""

    OPEN: ClassVar[Mapping[str, Any]] = {}
    """Options under which every pixel counts, however unsure the network is (tests of untrained networks use them)."""

    trained: Network | None = None
    """A teacher in eval mode, there before `build`: of the `branches` that came as input, else, for the update branch,
    the reference branch that the same run has trained; None where there is neither."""

    def __init__(self, config: base.Config) -> None:
        self.config = config

    @property
    def on(self) -> bool:
        """Whether any term has a weight; if not, the task trains as if this method had not been named."""
        return not self.OFF or any(getattr(self.config, name) for name in self.OFF)

    def views(self) -> Sequence[View]:
        """Views beyond the labeled frame "v0_0", which is always there with its label."""
        return ()

    def joint_views(self) -> Sequence[str]:
        """Names of views that go through the network in one pass with "v0_0", and so share its batch statistics.

        By default every view has its own pass. The maps arrive in the `features` of `losses`.
        """
        return ()

    def build(self, network: Network) -> nn.Module | None:
        """Extra modules (heads, teachers, second networks) that are trained or saved with the network.

        It refuses nothing: a dry run does not build it, and asks the Config and `views` alone. They learn at the rate
        of the head. Only what lies below a part called `backbone` or `slow` learns at the
        rate of the backbone.
        """
        return None

    def optimizer(self) -> torch.optim.Optimizer | None:
        """For those extra modules that have an optimizer of their own, such as a discriminator. Called after `build`.

        Its parameters are left out of the common one. Its learning rates fall to 0 with the power of the common
        schedule. Every step some term must give these parameters a gradient.
        """
        return None

    def stepped(self, network: Network, step: int) -> None:
        """Called after the optimizers' step; 0 is the first."""

    def exported(self, network: Network) -> Network:
        """The network that is validated and saved, where that is another one (a teacher)."""
        return network

    def losses(self, network: Network, batch: Batch, features: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Weighted loss terms by name; the loop adds them up.

        network: `features(images_b3hw) -> f_bchw`, `classify(f_bchw) -> logits_bkhw` (dropout in training).
        features: maps of views that already went through the network ("v0_0" of the supervised loss); a method may
        put its own maps in, so that combined methods share passes. step: 0 for the first. With
        `--budget passes`, where there are fewer steps, it counts faster: a ramp-up keeps its share of the training.
        """
        return {}


def guess(batch: Batch, view: str, label_bhw: Tensor, counts_bhw: Tensor | None = None) -> None:
    """Note a pseudo label: its accuracy is logged where the frames of that view have a label hidden from training."""
    from ifrkit.data.loading.batch import Guess  # a dry run reads the configs of methods, and guesses nothing

    batch.guesses[view] = Guess(label_bhw, counts_bhw)


def clean_logits(network: Network, f_bchw: Tensor) -> Tensor:
    """Logits (b, k, h/8, w/8) for a pseudo label: without dropout, and no gradient passes."""
    with torch.no_grad():
        logits_bkhw: Tensor = network.decode_head.conv_seg(f_bchw)
        return logits_bkhw


def encode(network: Network, batch: Batch, features: dict[str, Tensor], name: str) -> Tensor:
    """The feature map of a view: one pass through the network, unless another method has made it already."""
    if name not in features:
        features[name] = network.features(batch.views[name])
    return features[name]
