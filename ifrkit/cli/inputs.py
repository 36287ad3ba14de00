"""Where a stage finds its input, first match wins: --from, the line of a pipe, the newest artifact that fits."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from ifrkit.artifacts import store
from ifrkit.artifacts.about import about
from ifrkit.artifacts.job import Display
from ifrkit.artifacts.reference import parse_reference
from ifrkit.artifacts.store import Artifact
from ifrkit.cli.options import Shared
from ifrkit.core.errors import ArtifactError, ConfigError
from ifrkit.core.stage import Stage
from ifrkit.stages.ranks import Ranks


def resolve_inputs(stage: Stage, shared: Shared, ranks: Ranks, display: Display) -> list[Artifact]:
    """The input artifact: --from, else the line of the pipe, else the newest that fits (named on standard error)."""
    if not stage.needs:
        if shared.source is not None:
            raise ConfigError(f"--from: {stage.name} takes no artifact", "leave --from out")
        return []
    kinds = (*stage.needs, *stage.accepts)
    if ranks.rank > 0:
        return [store.open_artifact(Path(ranks.hear("input")), kinds, workspace=shared.workspace)]
    if shared.source == "-" or (shared.source is None and _stdin_is_pipe()):
        found = _from_line(sys.stdin.readline(), kinds, shared.workspace)
    elif shared.source is not None:
        found = store.resolve(shared.workspace, shared.source, kinds)
        if shared.source == found.kind:
            display.info(f"from {found.path} (the newest {found.kind}: {about(found)})")
    else:
        newest = store.newest(shared.workspace, stage.needs)
        if newest is None:
            raise store.missing(shared.workspace, stage.needs)
        display.info(f"from {newest.path} (the newest {newest.kind}: {about(newest)})")
        found = newest
    ranks.tell("input", str(found.path.resolve()))
    return [found]


def _from_line(line: str, kinds: tuple[str, ...], workspace: Path) -> Artifact:
    if not line.strip():
        raise ArtifactError(
            "no reference came through the pipe: the stage before this one did not finish",
            "see its error above, or name an input with --from (and give no pipe: < /dev/null)",
        )
    reference = parse_reference(line)
    artifact = store.open_artifact(reference.path, kinds, workspace=workspace)
    if reference.id is not None and reference.id != artifact.id:
        raise ArtifactError(
            f"{reference.path} is not the artifact {reference.id[:12]} of the reference", "run it again"
        )
    return artifact


def _stdin_is_pipe() -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):  # closed, or not a file at all
        return False
