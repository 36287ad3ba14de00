"""The config of `ifrkit propagate`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ifrkit.config.fields import label_formats, split_commas
from ifrkit.core.config import Config, Runtime
from ifrkit.core.plugins import names, spelled


class PropagateConfig(Config):
    """`ifrkit propagate`: the labels of a few frames, carried to the frames around them."""

    flow: str = "dis"
    """dis (OpenCV) or a flow artifact."""
    branch: Literal["update", "reference"] | None = None
    """Which network speaks too; None: the reference branch if there is one."""
    checkpoint: Literal["best", "last"] = "best"
    reach: int = Field(60, ge=1)
    """Frames that a label goes at most, in each direction."""
    explained: float = Field(0.5, ge=0, le=1)
    """A label stops where less than this share of a frame still comes from the labeled one and looks alike."""
    beyond: Literal["nothing", "network"] = "nothing"
    """What a frame has that no label reaches: nothing, or what the network says."""
    write: tuple[str, ...] = ()
    """Label formats in which labeling tools take the carried labels (flag --write), each in FORMAT/."""
    write_above: float = Field(0.5, ge=0, le=1)
    """In these files, what is less sure than this stays open."""
    runtime: Runtime = Runtime()

    _commas = field_validator("write", mode="before")(split_commas)
    _formats = field_validator("write")(label_formats)

    def identity(self) -> dict[str, Any]:
        """A flow artifact counts by what it holds, not by how it was named."""
        flow = spelled(self.flow)
        return {**super().identity(), "flow": flow if flow in names("flow_sources") else "given"}
