"""Where evaluation flow comes from, one file each: dis, truth, artifact, files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.errors import ConfigError
from ifrkit.plugins import load, names

if TYPE_CHECKING:
    from ifrkit.flow.base import FlowSource


def is_artifact(choice: str) -> bool:
    """Whether --flow names an artifact, and neither a source nor a folder of .flo files."""
    return choice.lower() not in names("flow") and not any(Path(choice).glob("**/*.flo"))


def flow_source(choice: str, artifact: Path | None) -> FlowSource:
    """The source that --flow names; artifact: the flow artifact's directory when it names one."""
    if artifact is not None:
        source: FlowSource = load("flow", "artifact")(str(artifact))
    elif choice.lower() in ("artifact", "files"):
        raise ConfigError(f"--flow {choice}: needs a place", "give the artifact, or the folder of .flo files, itself")
    elif choice.lower() in names("flow"):
        source = load("flow", choice)()
    else:
        source = load("flow", "files")(choice)
    return source
