"""The config of one segmentation branch: what every branch has, and what its backbone adds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, SerializeAsAny, field_validator

from ifrkit.config.fields import plugin_config
from ifrkit.core.config import Config, FileContent
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load, require, spelled, split_argument

DEFAULT = "resnet18"
Freeze = Literal["none", "all"] | Annotated[int, Field(ge=1)]
"""Of a backbone's stages; a number: the first ones."""


def _rule(value: Any) -> int | str:
    if value in ("sync", "frozen") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        found: int | str = value
        return found
    raise ValueError("neither sync, nor frozen, nor the images of a group")


def _rule_or_auto(value: Any) -> int | str:
    return "auto" if value == "auto" else _rule(value)


class NormConfig(Config):
    """Which images share the statistics of batch norm in training: sync, frozen, or N.

    sync: all of a pass, over all ranks. N: so many after another, on one rank. frozen: none, the statistics of
    `pretrained` stay; for small batches.
    """

    backbone: Annotated[int | str, PlainValidator(_rule_or_auto)] = "auto"
    """auto: what the released code has, resnet101 groups of 2, the others sync."""
    head: Annotated[int | str, PlainValidator(_rule)] = "sync"


class NetworkConfig(Config):
    """One segmentation branch: backbone and head. The plug-in `backbone` adds its own options (resnet18: `stem`)."""

    backbone: str = DEFAULT
    """A plug-in."""
    stride: int | None = Field(None, ge=1)
    """Of the backbone's last map; None: the backbone's default (the ResNets: 8, as in the released code)."""
    head: str = "psp"
    """A plug-in. psp: maps at the backbone's stride (released code); deeplabv3plus: at 1/4, four times the memory."""
    width: float = Field(1.0, gt=0, le=4)
    """Multiplies every channel count; below 1 makes nets for the CPU."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout2d in front of the classifier."""
    norm: NormConfig = NormConfig()
    pretrained: Annotated[str | None, FileContent(words=("auto",))] = None
    """Weights file to start from, or auto: those of an installed package. An unfit one is an error. None: random."""

    freeze: Freeze = "none"
    """What of the backbone does not train: none, all, or a number: its first stages, of which the stem is one."""

    @field_validator("backbone", "head")
    @classmethod
    def _known(cls, name: str, info: Any) -> str:
        require(f"{info.field_name}s", name)
        return spelled(name)


def network_config(value: Mapping[str, Any] | NetworkConfig) -> NetworkConfig:
    """The same with the options of its backbone: an instance of that plug-in's own Config.

    Raises ConfigError for a stride that the backbone cannot be built for.
    """
    tree = value.model_dump() if isinstance(value, NetworkConfig) else value
    name = tree.get("backbone", DEFAULT)
    if not isinstance(name, str):
        return NetworkConfig.model_validate(tree)  # which refuses it
    plugin = load("backbones", name)
    alone, argument = split_argument(name)
    if argument is not None or not isinstance(value, plugin.Config):
        value = {**tree, "backbone": alone}  # the argument becomes an option, and is said once
    config = plugin_config("backbones", name, value, "")
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


def _branch(value: Any) -> Any:
    """What is neither a mapping nor a config is left to the field's type."""
    return network_config(value) if isinstance(value, Mapping | NetworkConfig) else value


BranchConfig = Annotated[SerializeAsAny[NetworkConfig], BeforeValidator(_branch)]
"""A field of a config that holds a branch."""
