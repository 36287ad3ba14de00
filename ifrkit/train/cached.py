"""Stage one from cached features: the head alone trains, and no step runs the backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.data.loading.batch import Batch, RawBatch
from ifrkit.data.loading.feature_crops import feature_batches, on_cells
from ifrkit.data.loading.stream import Span
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.features import WEIGHTS, CachedFeatures
from ifrkit.metrics.base import Ids
from ifrkit.models.cells import enlarged
from ifrkit.models.network import Network
from ifrkit.models.trunk import Trunk
from ifrkit.models.weights import load_weights
from ifrkit.train import validation
from ifrkit.train.stage_one import BranchLosses, BranchTask
from ifrkit.trained import load_into

_BACKBONE = "backbone."


class CachedMaps(Trunk):
    """In the place of a backbone: its maps are there already."""

    def forward(self, maps: list[Tensor]) -> list[Tensor]:  # type: ignore[override]
        """The same maps."""
        return maps


class HeadLosses(BranchLosses):
    """The supervised term on cached maps."""

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """f of the labeled view."""
        maps = [batch.extras[name] for name in sorted(batch.extras)]
        return {"v0_0": self.network.features(maps)}  # type: ignore[arg-type]


class CachedTask(BranchTask):
    """The head of one branch to train. What is saved is the whole branch."""

    losses = HeadLosses

    def __init__(
        self,
        network: Network,
        config: TrainBranchesConfig,
        store: ClipStore,
        labeled: Sequence[int],
        device: torch.device,
        cached: CachedFeatures,
    ) -> None:
        """network: its backbone takes the weights of the features, and is put aside."""
        load_into(network.backbone, cached.artifact.file(WEIGHTS))
        self.backbone = {f"{_BACKBONE}{name}": value for name, value in network.backbone.state_dict().items()}
        network.backbone = CachedMaps()
        super().__init__(network, config, store, labeled, device)
        self.cached, self.maps = cached, cached.index.maps
        self.crop = on_cells(self.crop, store.size, self.maps)

    def measured(self) -> CachedTask:
        """This task: no step has an image pass, so there is nothing to measure."""
        return self

    def _batches(self, span: Span) -> Iterable[RawBatch]:
        return feature_batches(self.clips, self.views, self.crop, span, self.cached)

    def to_device(self, item: RawBatch) -> Batch:
        self.judge.expect(item.truth)
        labels = {name: label.to(self.device).long() for name, label in item.labels.items()}
        maps = {name: map_bchw.to(self.device).float() for name, map_bchw in item.extras.items()}
        return Batch({}, labels, item.clips, item.places, maps, class_weights=self.class_weights)

    @property
    def said(self) -> str:
        """What steps see, and what of the config they do without."""
        size, crop = self.clips.store.size, self.config.crop
        left = ["scales"] * (crop.scale != (1, 1)) + ["colours"] * (crop.jitter > 0)
        without = f"; no other {' and '.join(left)}, which need images" if left else ""
        at = " and ".join(f"1/{m.stride}" for m in self.maps)
        sides = "x".join(map(str, self.crop.size)), "x".join(map(str, size))
        return f"cached maps at {at}: crops of {sides[0]} in {sides[1]}, and flips{without}"

    def state(self) -> dict[str, Tensor]:
        """The plain network with its backbone."""
        return {**super().state(), **self.backbone}

    def use(self, weights: Path) -> None:
        head = {name: value for name, value in load_weights(weights).items() if not name.startswith(_BACKBONE)}
        self.exported.load_state_dict(head)
        self.exported.eval()

    def logits(self, clip: int, index: int) -> Tensor:
        return self._logits([(clip, index)])

    def _predict(self, frames: validation.Frames) -> Sequence[Ids]:
        with torch.no_grad():
            return list(self._logits(frames).argmax(1).to(torch.uint8).cpu().numpy())

    def _logits(self, frames: validation.Frames) -> Tensor:
        """Logits (b, k, h, w) of whole frames."""
        rows = [self.cached.maps(self.clips.store.rows(clip)[index], False) for clip, index in frames]
        maps = [torch.from_numpy(np.stack(part)).to(self.device).float() for part in zip(*rows, strict=True)]
        logits_bkhw = self.exported.classify(self.exported.features(maps))  # type: ignore[arg-type]
        return enlarged(logits_bkhw, self.exported.stride, self.clips.store.size)
