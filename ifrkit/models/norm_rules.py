"""Which images share the statistics of batch norm, and which passes can train then. No torch here: a dry run asks it.

What the rules are: models/batch_norm.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ifrkit.config.network import NetworkConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import load

if TYPE_CHECKING:
    from ifrkit.models.backbones.base import Backbone

Rule = int | str
"""`sync`, `frozen`, or the images of a group."""


def rules_of(config: NetworkConfig, plugin: Backbone) -> dict[str, Rule]:
    """The rules of "backbone" and "head". plugin: the backbone of the config."""
    norm = config.norm
    return {"backbone": plugin.norm if norm.backbone == "auto" else norm.backbone, "head": norm.head}


def require_pass(config: NetworkConfig, images: int, ranks: int = 1) -> None:
    """Raise ConfigError where passes of so many images, on each of so many ranks, cannot train this network.

    Groups have to lie inside a rank: then the ranks train what one process trains.
    """
    rules = rules_of(config, load("backbones", config.backbone)(config))
    for rule in rules.values():
        if isinstance(rule, int) and (images % rule if ranks > 1 else images > rule and images % rule):
            raise uneven(rule, images)
    rule = rules["head"]
    together = {"sync": images * ranks, "frozen": 2}[rule] if isinstance(rule, str) else min(rule, images)
    if together == 1 and load("heads", config.head).pools:
        raise one_image()
    if "frozen" in rules.values() and config.pretrained is None:
        fault = "norm frozen: the statistics of random weights normalise nothing"
        raise ConfigError(fault, "name weights with pretrained, or leave norm as it is")


def one_image() -> ConfigError:
    """For a pass of which a batch norm sees one value a channel: one image, pooled to 1x1."""
    fault = "batch norm after the head's 1x1 pooling needs at least two images a pass"
    return ConfigError(fault, "raise loop.batch, lower loop.accumulate, or set norm.head to frozen")


def uneven(group: int, images: int) -> ConfigError:
    """For a pass that does not consist of whole groups."""
    fault = f"batch norm takes its statistics from groups of {group} images, and a pass on one rank has {images}"
    return ConfigError(fault, "change loop.batch, loop.accumulate or the ranks, or set norm.backbone to sync")


def require_values(images: int, size: Sequence[int]) -> None:
    """Raise ConfigError where so many images of that (height, width) cannot train a correction network."""
    if images == 1 and max(size) <= 64:
        fault = "batch norm of the correction network needs more than one value a channel at 1/64 of the crop"
        raise ConfigError(fault, "use a crop larger than 64, or raise loop.batch")
