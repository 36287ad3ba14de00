"""A model that Hugging Face's transformers knows: `hf:DIR`, or `hf:ID` of one in the local cache.

Vision transformers of one size (DINOv2, DINOv3, BEiT) have maps at their patch size, hierarchical models (ConvNeXtV2,
Swin, Hiera, SegFormer, ResNet) at 1/4 to 1/32. The config of the model becomes an option of the branch, so a trained
branch does not need the directory any more. What talks to transformers is in _hf_trunk.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Annotated, Any

from ifrkit.config.network import NetworkConfig
from ifrkit.core.config import FileContent, settle
from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.models import hub
from ifrkit.models.backbones import base
from ifrkit.models.normalisation import IMAGENET, Normalisation
from ifrkit.models.public import AUTO

if TYPE_CHECKING:
    from torch import Tensor

    from ifrkit.models.backbones import _hf_trunk
    from ifrkit.models.trunk import Trunk
else:
    _hf_trunk = lazy("ifrkit.models.backbones._hf_trunk")

Rgb = tuple[float, float, float]


class Backbone(base.Backbone):
    """Starts from the model's own weights, unless `pretrained` says otherwise."""

    class Config(NetworkConfig):
        """Which model. `width` is that of the head alone."""

        ARGUMENT = "model"

        pretrained: Annotated[str | None, FileContent(words=(AUTO,))] = AUTO
        """auto: the weights of the model; or a file of ifrkit's. None: random."""
        model: Annotated[str | None, FileContent(digest=hub.digest)] = None
        """Its directory, or its id on the hub if it is in the local cache."""
        definition: dict[str, Any] | None = None
        """Its config.json; read from `model` where it is not given."""
        pixel_mean: Rgb | None = None
        """Of RGB in 0..255; read from the model's preprocessor_config.json, else ImageNet's."""
        pixel_std: Rgb | None = None

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.definition is not None:
                return
            if self.model is None:
                raise ConfigError("backbone hf: which model?", "write hf:DIR")
            settle(self, definition=hub.definition(self.model))
            for name, value in zip(("pixel_mean", "pixel_std"), hub.pixels(self.model) or (), strict=False):
                if len(value) != 3:
                    raise ConfigError(f"{self.model}: {name} has {len(value)} values", "take a model of RGB images")
                if getattr(self, name) is None:
                    settle(self, **{name: tuple(value)})

    config: Config

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.native = native_strides(self.definition)
        self.strides = [s for s in reversed(self.native) if s >= 8] or [self.native[-1]]
        if self.config.pixel_mean and self.config.pixel_std:
            self.normalisation = Normalisation(self.config.pixel_mean, self.config.pixel_std)
        else:
            self.normalisation = IMAGENET

    @property
    def definition(self) -> dict[str, Any]:
        """The config of the model."""
        assert self.config.definition is not None
        return self.config.definition

    @property
    def settled(self) -> bool:
        """transformers has to know the model, and its maps have to be those that the head reads."""
        return False

    def build(self, low_level: bool) -> Trunk:
        """Stages after the one at the wanted stride are cut off. The low-level map: see `_hf_trunk.kept_stages`."""
        return _hf_trunk.HFTrunk(self.definition, self.native, self.stride, low_level)

    def own_weights(self, trunk: Trunk) -> dict[str, Tensor]:
        """Those of the model's directory."""
        assert isinstance(trunk, _hf_trunk.HFTrunk)
        if self.config.model is None:
            raise ConfigError("pretrained=auto: no model is named", "write hf:DIR, or set pretrained to null")
        hub.weights(self.config.model)
        return trunk.published(hub.find(self.config.model))

    def source(self) -> dict[str, str]:
        """Model, file, sha256 and, where the model card names it, licence."""
        return hub.source(self.config.model) if self.config.model else {}

    def remedy(self, state: Mapping[str, Tensor]) -> str:
        """Names the model."""
        return f"the file has to be of the same {self.definition.get('model_type')} and stride"


def native_strides(definition: Mapping[str, Any]) -> list[int]:
    """Strides of the maps that a model has, ascending, by its config.json. Raises ConfigError if it does not tell."""
    first = _first(definition.get("patch_stride") or definition.get("patch_size") or 4)
    steps = definition.get("strides")
    if isinstance(steps, Sequence) and steps:  # SegFormer, PVT
        return list(accumulate(steps, mul))
    if isinstance(depths := definition.get("depths"), Sequence) and depths:
        return [first * 2**i for i in range(len(depths))]
    if "num_hidden_layers" in definition and "patch_size" in definition:
        return [first]
    kind = definition.get("model_type", "a model without a type")
    raise ConfigError(f"{kind}: its config.json does not say which maps it has", "take a model of a known backbone")


def _first(size: Any) -> int:
    return int(size[0] if isinstance(size, Sequence) else size)
