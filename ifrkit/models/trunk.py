"""What a backbone builds: the module that turns images into the maps that a head reads."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Trunk(nn.Module):
    """Images (b, 3, h, w), normalised -> a list of maps, the deepest last.

    channels and strides: of each map; a map of stride s is (b, c, ceil(h / s), ceil(w / s)).
    """

    channels: Sequence[int]
    strides: Sequence[int]

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """The maps. Gradients reach every parameter, unless the backbone froze it."""
        raise NotImplementedError


class Stages(Trunk):
    """Stages one after the other. kept: the indexes of those whose output is a map, ascending; the last is one."""

    def __init__(
        self, stages: Sequence[nn.Module], kept: Sequence[int], channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        """channels, strides: of each map that is kept."""
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.kept, self.channels, self.strides = frozenset(kept), channels, strides

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """The outputs of the stages that are kept."""
        x_bchw, maps = images_b3hw, []
        for index, stage in enumerate(self.stages):
            x_bchw = stage(x_bchw)
            if index in self.kept:
                maps.append(x_bchw)
        return maps
