"""What a source of evaluation flow defines. One source serves every model of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifrkit.core.records import PairFlow

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore


class FlowSource:
    """Flow between neighbouring frames of a clip. Subclass it as `FlowSource` in `ifrkit/flow_sources/NAME.py`."""

    def __init__(self, argument: str = "") -> None:
        """argument: what --flow gave (an artifact's path, a folder), empty for `dis` and `truth`."""
        self.argument = argument

    def pair(self, store: ClipStore, clip: int, index: int) -> PairFlow:
        """Forward flow of frame `index` to `index + 1` of that clip, and where it is consistent."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Name and every parameter, for the report."""
        raise NotImplementedError
