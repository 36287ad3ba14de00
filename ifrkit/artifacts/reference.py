"""How one stage tells the next what it made: one line on standard output, a path or a JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from ifrkit.core.errors import ArtifactError
from ifrkit.core.text import is_safe

LONGEST_PATH = 4096
"""What is longer is not a path but something else that came through the pipe."""


class Reference(NamedTuple):
    """A place where an artifact should be; kind and id are known when the line was JSON."""

    path: Path
    kind: str | None = None
    id: str | None = None


def format_reference(path: Path, kind: str, id: str, *, as_json: bool = False, **extra: Any) -> str:
    """The line without its end. A path that cannot be shown as it is (line breaks, escapes) becomes JSON always."""
    text = str(path)
    if as_json or not is_safe(text) or not text.startswith("/"):
        return json.dumps({"ifrkit": 1, "kind": kind, "path": text, "id": id, **extra})
    return text


def parse_reference(line: str) -> Reference:
    """Read either form. Raises ArtifactError for anything else."""
    text = line.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise ArtifactError("the reference is empty", "the stage before this one has to print the path of an artifact")
    if not text.lstrip().startswith("{"):
        if "\0" in text or len(text) > LONGEST_PATH:
            raise _no_reference(text)
        return Reference(Path(text))
    try:
        tree = json.loads(text)
        if tree["ifrkit"] != 1:
            raise ArtifactError(f"the reference has version {tree['ifrkit']!r}, this ifrkit reads 1", "upgrade ifrkit")
        return Reference(Path(tree["path"]), tree["kind"], tree["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _no_reference(text) from None


def _no_reference(text: str) -> ArtifactError:
    shown = (text if len(text) <= 80 else text[:77] + "...").replace("\0", "?")
    remedy = 'write a path, or {"ifrkit": 1, "kind": ..., "path": ..., "id": ...}'
    return ArtifactError(f"not a reference to an artifact: {shown}", remedy)
