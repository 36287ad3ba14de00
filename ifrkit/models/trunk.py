"""What a backbone builds: the module that turns images into the maps that a head reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from ifrkit.config.network import Freeze
from ifrkit.core.errors import ConfigError


class Trunk(nn.Module):
    """Images (b, 3, h, w), normalised -> a list of maps, the deepest last.

    channels and strides: of each map; a map of stride s is (b, c, ceil(h / s), ceil(w / s)).
    """

    channels: Sequence[int]
    strides: Sequence[int]
    frozen = 0
    """How many parts, from the first on, neither train nor leave eval mode."""

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """The maps. Gradients reach every parameter, unless the backbone froze it."""
        raise NotImplementedError

    def parts(self) -> list[list[nn.Module]]:
        """Its stages from the image on, the stem first: what `freeze` counts, and what `layer_decay` goes by."""
        return [[child] for child in self.children()]

    def depths(self) -> dict[int, int]:
        """Which part each parameter lies in (0 is the first), by its id(); what no part has counts to the last one."""
        parts = self.parts()
        found = {id(p): len(parts) - 1 for p in self.parameters()}
        return found | {id(p): i for i, part in enumerate(parts) for module in part for p in module.parameters()}

    def freeze(self, what: Freeze) -> None:
        """Freeze all, or the first parts. Raises ConfigError if there are not as many.

        No parameter before the first trained part requires a gradient then, so autograd keeps nothing of them.
        """
        count = len(self.parts())
        self.frozen = count if what == "all" else 0 if what == "none" else what
        if self.frozen > count:
            raise ConfigError(f"freeze={what}: this backbone has {count} stages, the stem is the first", "lower it")
        for module in self._frozen():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """What is frozen stays in eval mode."""
        super().train(mode and not self._all)
        for module in () if self._all else self._frozen():
            module.eval()
        return self

    @property
    def _all(self) -> bool:
        return self.frozen > 0 and self.frozen == len(self.parts())

    def _frozen(self) -> list[nn.Module]:
        return [self] if self._all else [module for part in self.parts()[: self.frozen] for module in part]


class Stages(Trunk):
    """Stages one after the other. kept: the indexes of those whose output is a map, ascending; the last is one."""

    def __init__(
        self, stages: Sequence[nn.Module], kept: Sequence[int], channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        """channels, strides: of each map that is kept."""
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.kept, self.channels, self.strides = frozenset(kept), channels, strides

    def parts(self) -> list[list[nn.Module]]:
        """The stages."""
        return [[stage] for stage in self.stages]

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """The outputs of the stages that are kept."""
        x_bchw, maps = images_b3hw, []
        for index, stage in enumerate(self.stages):
            x_bchw = stage(x_bchw)
            if index in self.kept:
                maps.append(x_bchw)
        return maps
