"""Several processes make one artifact: the first rank resolves, locks and commits, the others work beside it.

They talk through the key-value store that torchrun keeps, so torch is imported only when there is more than one rank.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, NamedTuple

from ifrkit.core.errors import ConfigError

_FOREVER = timedelta(days=30)
"""A stage may wait in a pipe for the hours that the one before it takes; torchrun ends the others if a rank dies."""


class Ranks(NamedTuple):
    """This process among all that make the artifact. Alone, nothing here does anything."""

    rank: int = 0
    world: int = 1

    @classmethod
    def from_environment(cls) -> Ranks:
        """What torchrun says (RANK, WORLD_SIZE)."""
        ranks = cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
        if ranks.world > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
            raise ConfigError(f"WORLD_SIZE is {ranks.world}, but torchrun did not start this", "start it with torchrun")
        return ranks

    def tell(self, key: str, value: str) -> None:
        """Say something to the other ranks."""
        if self.world > 1:
            self._store().set(key, value)

    def hear(self, key: str) -> str:
        """Wait until another rank says it."""
        heard: bytes = self._store().get(key)
        return heard.decode()

    def wait(self, key: str) -> None:
        """Wait until every other rank has said `KEY-RANK`."""
        for rank in range(1, self.world):
            self.hear(f"{key}-{rank}")

    def _store(self) -> Any:
        from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # torch does not list them

        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return PrefixStore(f"ifrkit-{attempt}", TCPStore(host, port, is_master=False, timeout=_FOREVER))
