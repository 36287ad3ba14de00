"""The command that comes next: told on a terminal, as a line that works when it is typed as printed.

What follows a stage, and which recipe fits what it made, is said by the stage itself (`after`, `fitting`).
"""

from __future__ import annotations

import os
import shlex

from ifrkit.artifacts.store import Artifact
from ifrkit.cli.options import WORKSPACE, Shared
from ifrkit.config.resolve import read_recipe
from ifrkit.core.stage import maker, stage_named


def next_command(artifact: Artifact, shared: Shared) -> str | None:
    """What a user does with this new artifact; None where nothing follows, or nothing could be measured."""
    stage = maker(artifact.kind)
    words = list(stage.after(artifact, None if shared.out else shared.workspace)) if stage else []
    if stage is None or not words:
        return None
    follower = stage_named(words[0])
    if shared.out is not None:  # outside the workspace nothing finds it
        words += ["--from", str(artifact.path)] if follower else [str(artifact.path)]
    if follower:
        kept = [name for name in shared.recipe_names if follower.name in read_recipe(name)]
        if names := kept or stage.fitting(artifact):
            words += ["--recipe", ",".join(names)]
    if str(shared.workspace) != os.environ.get("IFRKIT_WORKSPACE", WORKSPACE.default):
        words += ["--workspace", str(shared.workspace)]
    return shlex.join(["ifrkit", *words])
