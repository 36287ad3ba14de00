"""train-branches: stage one, the reference and the update branch, each on its own, by semi-supervised methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ifrkit.core.errors import ConfigError
from ifrkit.core.lazy import lazy
from ifrkit.core.stage import Stage
from ifrkit.stages.evaluate import evaluation

if TYPE_CHECKING:
    from ifrkit.artifacts import indexes, store
    from ifrkit.config.train_branches import TrainBranchesConfig
    from ifrkit.stages import _train_branches_features as features
else:
    features = lazy("ifrkit.stages._train_branches_features")
    indexes, store = lazy("ifrkit.artifacts.indexes"), lazy("ifrkit.artifacts.store")


def _extra_inputs(config: TrainBranchesConfig, inputs: list[store.Artifact], workspace: Path) -> list[store.Artifact]:
    """What the methods read beside the clips, and the clips of pseudo labels that came through the pipe."""
    given = inputs[0]
    if given.kind == "features":
        features.require_method(config, given)
        clips = given.ancestor("clips")
        return [clips] if clips else []
    wanted: dict[str, str] = {}
    for options in config.method.values():
        wanted |= options.artifacts()  # type: ignore[attr-defined]
    welcome = {kind for options in config.method.values() for kind in options.welcome()}  # type: ignore[attr-defined]
    if given.kind not in ("clips", *wanted, *welcome):
        fault = f"--ssl {','.join(config.ssl)} reads no {given.kind}, and {given.path} came as input"
        fitting = "distill or blend" if given.kind == "branches" else "self-training or dars"
        raise ConfigError(fault, f"add {fitting} to --ssl, or give clips")
    others = [store.resolve(workspace, ref, (kind,)) for kind, ref in wanted.items() if kind != given.kind]
    clips = given.ancestor("clips")
    return [clips, *others] if clips and clips.id != given.id else others


def _after(branches: store.Artifact, workspace: Path | None) -> list[str]:
    """Two branches are joined; one alone is judged."""
    return ["train-fusion"] if len(indexes.Branches.read(branches).branches) == 2 else evaluation(branches)


STAGE = Stage(
    name="train-branches",
    kind="branches",
    config="ifrkit.config.train_branches:TrainBranchesConfig",
    run="ifrkit.train.branches:run",
    help="Train the light and the heavy branch, semi-supervised.",
    order=20,
    needs=("clips",),
    payload=("branches.json", "*.best.safetensors", "*.last.safetensors", "*.events.jsonl", "tensorboard/*"),
    accepts=("pseudo-labels", "branches", "features"),
    resumable=True,
    adapt="ifrkit.stages._train_branches_features:adapted",
    extra_inputs=_extra_inputs,
    check="ifrkit.stages._train_branches_check:check",
    label=lambda config: "-".join([*config.ssl, config.labeled.named.replace("/", "-").replace(" ", "-")]),
    after=_after,
)
