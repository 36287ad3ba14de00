"""The dataset's own exact flow (synthetic)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifrkit.core.errors import ConfigError
from ifrkit.core.records import PairFlow
from ifrkit.flow_sources import base

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore


class FlowSource(base.FlowSource):
    """Exact forward flow; a pixel counts where the next frame shows the same point."""

    def pair(self, store: ClipStore, clip: int, index: int) -> PairFlow:
        flow = store.flow(clip, index, backward=False)
        if flow is None:
            raise _missing(store)
        return PairFlow(flow.flow_2hw, flow.visible_hw)

    def describe(self) -> dict[str, Any]:
        return {"source": "truth", "consistent": "the next frame shows the same point"}


def require_truth(store: ClipStore) -> None:
    """Raise ConfigError for clips without exact flow."""
    if not store.has_flow:
        raise _missing(store)


def _missing(store: ClipStore) -> ConfigError:
    return ConfigError(f"--flow truth: {store.name} has no exact flow", "use --flow dis")
