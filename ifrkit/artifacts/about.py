"""What a line says of an artifact that it names, so that the wrong one is seen: dataset, root, size, age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ifrkit.artifacts.store import Artifact
from ifrkit.core.errors import ArtifactError

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


def about(artifact: Artifact) -> str:
    """ "folders my-project, 12 MiB, 5 minutes ago"; what is not known is left out."""
    parts = (data(artifact), in_bytes(artifact.manifest.size), age(artifact))
    return ", ".join(part for part in parts if part)


def named(artifact: Artifact) -> str:
    """The path of an artifact, and what it is."""
    return f"{artifact.path} ({about(artifact)})"


def data(artifact: Artifact) -> str:
    """Dataset and root of the clips that it is or was made from; empty where they are gone."""
    return " ".join(origin(artifact))


def origin(artifact: Artifact) -> Sequence[str]:
    """(dataset, root), (dataset,) of one that reads nothing, or nothing where the clips are gone."""
    try:
        clips = artifact.ancestor("clips")
    except ArtifactError:
        return ()
    config = clips.manifest.config if clips else {}
    return [str(config[key]) for key in ("dataset", "root") if config.get(key)]


def in_bytes(count: int) -> str:
    """ "12 MiB"."""
    number = float(count)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def age(artifact: Artifact, now: datetime | None = None) -> str:
    """ "5 minutes ago"; "just now" also where a clock went back; empty where the time is not one."""
    try:
        seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(artifact.manifest.created)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return ""
    for length, unit in _UNITS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
