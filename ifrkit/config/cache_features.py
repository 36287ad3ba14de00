"""The config of `ifrkit cache-features`."""

from __future__ import annotations

from typing import Any, Literal

from msgspec.structs import replace

from ifrkit.config.network import NetworkConfig, network_config
from ifrkit.config.train_branches import HEAVY, LIGHT
from ifrkit.core.bounds import Natural
from ifrkit.core.config import Config, Open, Runtime, settle


class CacheFeaturesConfig(Config):
    """`ifrkit cache-features`: the maps of a frozen backbone. Both networks are those of `train-branches`."""

    BORROWS = "train-branches"

    branch: Literal["update", "reference"] = "update"
    """Whose backbone it is."""
    update: Open[NetworkConfig] = LIGHT
    reference: Open[NetworkConfig] = HEAVY
    batch: Natural = 4
    """Frames of one pass."""
    seed: int = 0
    """Of a random start, where `pretrained` is null."""
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        settle(
            self,
            update=network_config(self.update, "update"),
            reference=network_config(self.reference, "reference"),
        )
        given = getattr(self, self.branch).freeze
        if given not in ("none", "all"):
            raise ValueError(
                f"{self.branch}.freeze={given}: cached are the maps of a whole frozen backbone; leave it out"
            )

    @property
    def network(self) -> NetworkConfig:
        """The chosen one, all of its backbone frozen."""
        chosen: NetworkConfig = getattr(self, self.branch)
        return replace(chosen, freeze="all")

    def identity(self) -> dict[str, Any]:
        """Without the network that is not chosen."""
        other = "reference" if self.branch == "update" else "update"
        alone = {self.branch: self.network.identity(), other: NetworkConfig().identity()}
        return {**super().identity(), **alone}
