"""What a backbone defines: its options, strides and normalisation, the module that it builds, the files that it reads.

This part is torch-free: a stage that waits in a pipe checks its config first. `build` imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from ifrkit.config.network import NetworkConfig
from ifrkit.models.normalisation import IMAGENET, Normalisation
from ifrkit.models.public import PublicWeights

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.models.trunk import Trunk


class Backbone:
    """One choice of `backbone`. Subclass it as `Backbone` in `ifrkit/models/backbones/NAME.py`."""

    class Config(NetworkConfig):
        """Options of its own, beside those that every branch has (such as `width`)."""

    strides: Sequence[int] = (8,)
    """Strides of its last map that it can be built for; the first one is its default."""
    normalisation: Normalisation = IMAGENET
    """What its weights expect of an image. May be set by the constructor, where it depends on the options."""

    public: ClassVar[PublicWeights | None] = None
    """ImageNet weights that a Python package brings: what `pretrained: auto` takes."""

    norm: ClassVar[int | str] = "sync"
    """Which images share the statistics of its batch norm, where the config says auto: see models/batch_norm.py."""

    def __init__(self, config: NetworkConfig) -> None:
        """config: of this class's `Config`."""
        self.config = config

    @property
    def settled(self) -> bool:
        """Whether the config alone says that `build` works and that its weights fit; if not, a dry run builds it."""
        return self.config.pretrained is None

    @property
    def stride(self) -> int:
        """The stride of the last map."""
        return self.config.stride or self.strides[0]

    def build(self, low_level: bool) -> Trunk:
        """The module; its random start depends on torch's generator alone.

        low_level: the head also wants an earlier, finer map (at 1/4 where there is one), before the last one.
        """
        raise NotImplementedError

    def own_weights(self, trunk: Trunk) -> dict[str, Tensor] | None:
        """The tensors of `pretrained: auto` under the names of `trunk`, where they are not those of `public`."""
        return None

    def source(self) -> dict[str, str]:
        """What an artifact says of where the weights of `pretrained: auto` came from."""
        return self.public.source() if self.public else {}

    def import_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A public file's tensors under the names of the module, without those that it has no use for.

        state: all of the file. Names that nobody knows stay as they are: the error shows them.
        """
        return dict(state)

    def remedy(self, state: Mapping[str, Tensor]) -> str:
        """What to do if a file does not fit. state: as `import_state` gave it."""
        return "set backbone and its options to those of the file"
