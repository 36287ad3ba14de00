"""The config of one segmentation branch: what every branch has, and what its backbone adds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from msgspec import Meta

from ifrkit.config.fields import plugin_config
from ifrkit.core.bounds import Natural
from ifrkit.core.config import Config, FileContent, settle
from ifrkit.core.errors import ConfigError
from ifrkit.core.invalid import Invalid
from ifrkit.core.plugins import load, require, spelled, split_argument

DEFAULT = "resnet18"
Freeze = Literal["none", "all"] | Natural
"""Of a backbone's stages; a number: the first ones."""


class NormConfig(Config):
    """Which images share the statistics of batch norm in training: sync, frozen, or N.

    sync: all of a pass, over all ranks. N: so many after another, on one rank. frozen: none, the statistics of
    `pretrained` stay; for small batches.
    """

    backbone: Literal["auto", "sync", "frozen"] | Natural = "auto"
    """auto: what the released code has, resnet101 groups of 2, the others sync."""
    head: Literal["sync", "frozen"] | Natural = "sync"


class NetworkConfig(Config):
    """One segmentation branch: backbone and head. The plug-in `backbone` adds its own options (resnet18: `stem`)."""

    backbone: str = DEFAULT
    """A plug-in."""
    stride: Natural | None = None
    """Of the backbone's last map; None: the backbone's default (the ResNets: 8, as in the released code)."""
    head: str = "psp"
    """A plug-in. psp: maps at the backbone's stride (released code); deeplabv3plus: at 1/4, four times the memory."""
    width: Annotated[float, Meta(gt=0, le=4)] = 1.0
    """Multiplies every channel count; below 1 makes nets for the CPU."""
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Dropout2d in front of the classifier."""
    norm: NormConfig = NormConfig()
    pretrained: Annotated[str | None, FileContent(words=("auto",))] = None
    """Weights file to start from, or auto: those of an installed package. An unfit one is an error. None: random."""

    freeze: Freeze = "none"
    """What of the backbone does not train: none, all, or a number: its first stages, of which the stem is one."""

    def __post_init__(self) -> None:
        require("backbones", self.backbone)
        require("heads", self.head)
        settle(self, backbone=spelled(self.backbone), head=spelled(self.head))


def network_config(value: Mapping[str, Any] | NetworkConfig, key: str = "") -> NetworkConfig:
    """The same with the options of its backbone: an instance of that plug-in's own Config. key: its place, for errors.

    Raises ConfigError for a stride that the backbone cannot be built for.
    """
    tree: Any = value.tree() if isinstance(value, NetworkConfig) else value
    name = tree.get("backbone", DEFAULT) if isinstance(tree, Mapping) else None
    if not isinstance(name, str):
        try:
            return NetworkConfig.of(tree)  # which refuses it
        except Invalid as error:
            raise error.below(key) from None
    plugin = load("backbones", name)
    alone, argument = split_argument(name)
    if argument is not None or not isinstance(value, plugin.Config):
        value = {**tree, "backbone": alone}  # the argument becomes an option, and is said once
    config = plugin_config("backbones", name, value, key)
    assert isinstance(config, NetworkConfig)
    strides = plugin(config).strides
    if config.stride not in (None, *strides):
        known = ", ".join(map(str, strides))
        raise ConfigError(f"stride {config.stride}: {config.backbone} cannot be built for it", f"known: {known}")
    return config


def branch_title(network: Mapping[str, Any]) -> str:
    """What tables call a branch, by its config: the backbone, with the end of its argument (hf:dinov2-small)."""
    name = str(network["backbone"])
    argument = network.get(load("backbones", name).Config.ARGUMENT or "")
    return f"{name}:{PurePath(argument).name}" if argument else name
