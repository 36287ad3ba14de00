"""What a source of evaluation flow defines. One source serves every model of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ifrkit.core.records import Frame, PairFlow

if TYPE_CHECKING:
    from ifrkit.data.store.clips import ClipStore


class FlowSource:
    """Flow between neighbouring frames of a clip. Subclass it as `FlowSource` in `ifrkit/flow_sources/NAME.py`."""

    def __init__(self, argument: str = "") -> None:
        """argument: what --flow gave (an artifact's path, a folder), empty for `dis` and `truth`."""
        self.argument = argument

    any_frames = False
    """Whether it finds the flow of any two frames by `between`."""

    def between(self, here_hw3: Frame, there_hw3: Frame) -> PairFlow:
        """Flow of one frame to another, and where it is consistent."""
        raise NotImplementedError

    def pair(self, store: ClipStore, clip: int, index: int) -> PairFlow:
        """Forward flow of frame `index` to `index + 1` of that clip, and where it is consistent."""
        return self.between(store.frame(clip, index), store.frame(clip, index + 1))

    def describe(self) -> dict[str, Any]:
        """Name and every parameter, for the report."""
        raise NotImplementedError
