"""The config of `ifrkit cache-features`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ifrkit.config.network import BranchConfig, NetworkConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.config import Config, Runtime

_BRANCHES = TrainBranchesConfig.model_fields


class CacheFeaturesConfig(Config):
    """`ifrkit cache-features`: the maps of a frozen backbone. Both networks are those of `train-branches`."""

    BORROWS: ClassVar[str | None] = "train-branches"

    branch: Literal["update", "reference"] = "update"
    """Whose backbone it is."""
    update: BranchConfig = _BRANCHES["update"].default
    reference: BranchConfig = _BRANCHES["reference"].default
    batch: int = Field(4, ge=1)
    """Frames of one pass."""
    seed: int = 0
    """Of a random start, where `pretrained` is null."""
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _whole(self) -> CacheFeaturesConfig:
        given = getattr(self, self.branch).freeze
        if given not in ("none", "all"):
            raise ValueError(
                f"{self.branch}.freeze={given}: cached are the maps of a whole frozen backbone; leave it out"
            )
        return self

    @property
    def network(self) -> NetworkConfig:
        """The chosen one, all of its backbone frozen."""
        chosen: NetworkConfig = getattr(self, self.branch)
        return chosen.model_copy(update={"freeze": "all"})

    def identity(self) -> dict[str, Any]:
        """Without the network that is not chosen."""
        other = "reference" if self.branch == "update" else "update"
        alone = self.model_copy(update={self.branch: self.network, other: NetworkConfig()})
        return super(CacheFeaturesConfig, alone).identity()
