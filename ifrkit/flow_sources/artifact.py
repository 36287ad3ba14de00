"""A flow artifact of `train-flow`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ifrkit.artifacts.store import open_artifact
from ifrkit.core.records import Frame, PairFlow
from ifrkit.data.pixels.flow import checked, rule
from ifrkit.flow_sources import base
from ifrkit.models.flownet import full_size
from ifrkit.models.video import flow_input
from ifrkit.trained import load_flow


class FlowSource(base.FlowSource):
    """FlowNetS at 1/4 size, enlarged to full size, both ways. argument: the artifact's directory."""

    @cached_property
    def _network(self) -> Any:
        return load_flow(open_artifact(Path(self.argument), ("flow",)))

    any_frames = True

    def between(self, here_hw3: Frame, there_hw3: Frame) -> PairFlow:
        return checked(self._flow(here_hw3, there_hw3), self._flow(there_hw3, here_hw3))

    def _flow(self, here_hw3: NDArray[np.uint8], there_hw3: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            here, there = (flow_input(torch.from_numpy(f).permute(2, 0, 1)[None]) for f in (here_hw3, there_hw3))
            # The network says where the content of its first frame lies in its second.
            flow: NDArray[np.float32] = full_size(self._network(here, there), here_hw3.shape[:2])[0].numpy()
        return flow

    def describe(self) -> dict[str, Any]:
        return {"source": "artifact", "id": open_artifact(Path(self.argument)).id, "consistent": rule(backward=True)}
