"""The config of `ifrkit propagate`."""

from __future__ import annotations

from typing import Any, Literal

from ifrkit.config.fields import label_formats
from ifrkit.core.bounds import Natural, Share
from ifrkit.core.config import Config, Runtime, settle
from ifrkit.core.plugins import is_known, spelled


class PropagateConfig(Config):
    """`ifrkit propagate`: the labels of a few frames, carried to the frames around them."""

    COMMAS = ("write",)

    flow: str = "dis"
    """dis (OpenCV) or a flow artifact."""
    branch: Literal["update", "reference"] | None = None
    """Which network speaks too; None: the reference branch if there is one."""
    checkpoint: Literal["best", "last"] = "best"
    reach: Natural = 60
    """Frames that a label goes at most, in each direction."""
    explained: Share = 0.5
    """A label stops where less than this share of a frame still comes from the labeled one and looks alike."""
    beyond: Literal["nothing", "network"] = "nothing"
    """What a frame has that no label reaches: nothing, or what the network says."""
    write: tuple[str, ...] = ()
    """Label formats in which labeling tools take the carried labels (flag --write), each in FORMAT/."""
    write_above: Share = 0.5
    """In these files, what is less sure than this stays open."""
    runtime: Runtime = Runtime()

    def __post_init__(self) -> None:
        settle(self, write=label_formats(self.write))

    def identity(self) -> dict[str, Any]:
        """A flow artifact counts by what it holds, not by how it was named."""
        flow = spelled(self.flow)
        return {**super().identity(), "flow": flow if is_known("flow_sources", flow) else "given"}
