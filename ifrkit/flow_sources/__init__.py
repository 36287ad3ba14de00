"""Where evaluation flow comes from, one file each: dis, truth, artifact, files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.errors import ConfigError
from ifrkit.core.plugins import is_known, load, names, spelled

if TYPE_CHECKING:
    from ifrkit.flow_sources.base import FlowSource

PLACED = ("artifact", "files")
"""Sources that need a place; --flow gives the place alone."""


def is_artifact(choice: str) -> bool:
    """Whether --flow names an artifact, and neither a source nor a folder of .flo files.

    An artifact is a path, the beginning of an id, or its kind. Raises ConfigError for a word that can be none of these.
    """
    if _is_source(choice) or _is_folder(choice):
        return False
    hexadecimal = len(choice) >= 4 and set(choice) <= set("0123456789abcdef")
    if choice == "flow" or "/" in choice or hexadecimal or (choice and Path(choice).exists()):
        return True
    sources = ", ".join(name for name in names("flow_sources") if name not in PLACED)
    raise ConfigError(
        f"--flow {choice!r}: no such source", f"use {sources}, a flow artifact, or a folder of .flo files"
    )


def flow_source(choice: str, artifact: Path | None) -> FlowSource:
    """The source that --flow names; artifact: the flow artifact's directory when it names one."""
    if artifact is not None:
        source: FlowSource = load("flow_sources", "artifact")(str(artifact))
    elif _is_folder(choice):
        source = load("flow_sources", "files")(choice)
    elif spelled(choice) in PLACED:
        raise ConfigError(f"--flow {choice}: needs a place", "give the artifact, or the folder of .flo files, itself")
    else:
        source = load("flow_sources", choice)()
    return source


def _is_source(choice: str) -> bool:
    return is_known("flow_sources", choice)


def _is_folder(choice: str) -> bool:
    return bool(choice) and not _is_source(choice) and any(Path(choice).glob("**/*.flo"))
