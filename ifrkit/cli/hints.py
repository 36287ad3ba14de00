"""The command that comes next: told on a terminal, as a line that works when it is typed as printed."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING

from ifrkit.cli.options import WORKSPACE, Shared

if TYPE_CHECKING:
    from ifrkit.artifacts.store import Artifact

_DEFAULT_CROP = (256, 512)
"""Smaller frames need a recipe with smaller crops: tiny."""


def next_command(artifact: Artifact, shared: Shared) -> str | None:
    """What a user does with this new artifact; None where nothing follows, or nothing could be measured."""
    words = _stage(artifact, shared)
    if words is None:
        return None
    stage = words[0]
    if shared.out is not None:  # outside the workspace nothing finds it
        words += [str(artifact.path)] if stage == "report" else ["--from", str(artifact.path)]
    if stage != "report" and (recipe := _recipe(artifact, shared, stage)):
        words += ["--recipe", recipe]
    if str(shared.workspace) != os.environ.get("IFRKIT_WORKSPACE", WORKSPACE.default):
        words += ["--workspace", str(shared.workspace)]
    return shlex.join(["ifrkit", *words])


def _stage(artifact: Artifact, shared: Shared) -> list[str] | None:
    if artifact.kind == "branches" and _are_two(artifact):
        return ["train-fusion"]
    if artifact.kind == "flow":
        return _after_flow(artifact, shared)
    if artifact.kind in ("branches", "video-model"):
        return _evaluation(artifact)
    after = {"clips": "train-branches --ssl ifr", "pseudo-labels": "train-branches --ssl self-training"}
    after["report"] = "report"
    return after[artifact.kind].split() if artifact.kind in after else None


def _are_two(branches: Artifact) -> bool:
    return len(json.loads(branches.file("branches.json").read_text())["branches"]) == 2


def _after_flow(flow: Artifact, shared: Shared) -> list[str] | None:
    """The branches of the same clips are joined by it; without any, they have to be trained first."""
    from ifrkit.artifacts.store import newest

    clips, trained = flow.ancestor("clips"), newest(shared.workspace, ("branches",))
    if clips is None or shared.out is not None:
        return None
    of_same = trained is not None and (known := trained.ancestor("clips")) is not None and known.id == clips.id
    return ["train-fusion"] if trained and of_same and _are_two(trained) else ["train-branches", "--ssl", "ifr"]


def _evaluation(artifact: Artifact) -> list[str] | None:
    clips = artifact.ancestor("clips")
    scored = clips is not None and clips.manifest.metrics.get("frames", {}).get("val", {}).get("labels")
    return ["eval", "--metric", "mIoU,TC"] if scored else None


def _recipe(artifact: Artifact, shared: Shared, stage: str) -> str:
    """The recipes given, of which the next stage reads something; after `prepare`, one that fits the data."""
    from ifrkit.config.resolve import read_recipe

    names = shared.recipe_names
    kept = [name for name in names if stage in read_recipe(name)]
    if not kept and artifact.kind == "clips":
        kept = _fitting(artifact)
    return ",".join(kept)


def _fitting(clips: Artifact) -> list[str]:
    """The recipe of this dataset if its crops fit into the frames, none if the default's do, else the tiny one."""
    from ifrkit.config.resolve import read_recipe, recipe_names

    height, width = json.loads(clips.file("clips.json").read_text())["size"]
    dataset = clips.manifest.config.get("dataset")
    if dataset in recipe_names():
        crop = read_recipe(dataset)["train-branches"]["crop"]["size"]
        if crop[0] <= height and crop[1] <= width:
            return [dataset]
    return ["tiny"] if height < _DEFAULT_CROP[0] or width < _DEFAULT_CROP[1] else []
