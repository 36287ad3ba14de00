"""Stage one: train the reference and the update branch, each on its own, with semi-supervised methods beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact, resolve
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.errors import ConfigError
from ifrkit.stages.base import Stage

if TYPE_CHECKING:
    from ifrkit.data.loading.views import LabelSource
    from ifrkit.data.store.clips import ClipStore
    from ifrkit.train.loop import FitResult
    from ifrkit.train.passes import Passes


def run(job: Job) -> None:
    """Train each branch of the config, and write branches.json beside their weights and event logs."""
    from ifrkit.data.store.clips import ClipStore
    from ifrkit.data.store.partitions import labeled_clips

    config: TrainBranchesConfig = job.config
    store = ClipStore.of(job.input("clips"))
    _check_crop(config, store)
    labeled = labeled_clips(store, config.labeled)
    job.report.info(f"{len(labeled)} labeled of {len(store.clips_of('train'))} training clips")
    sources = _pseudo_labels(job, store, labeled)
    results = {}
    passes: dict[str, Passes] = {}
    for branch in config.branches:
        results[branch], passes[branch] = _train(job, branch, store, labeled, sources)
    index = {
        "num_classes": store.labels.num_classes,
        "branches": {branch: _entry(config, branch, result) for branch, result in results.items()},
        "passes": {branch: count._asdict() | {"cost": count.cost} for branch, count in passes.items()},
        "labeled": [store.clips[clip].name for clip in labeled],
    }
    (job.directory / "branches.json").write_text(json.dumps(index, indent=2) + "\n")
    job.metrics.update(
        {branch: {"best": r.best, "last": r.last, "best_step": r.best_step} for branch, r in results.items()}
    )
    rows = [
        [
            branch,
            getattr(config, branch).backbone,
            _percent(r.best),
            str(r.best_step),
            _percent(r.last),
            str(passes[branch]),
        ]
        for branch, r in results.items()
    ]
    job.report.table("Validation mIoU (%)", ["branch", "backbone", "best", "at step", "last", "image passes"], rows)


def _train(
    job: Job, branch: str, store: ClipStore, labeled: list[int], sources: dict[str, LabelSource]
) -> tuple[FitResult, Passes]:
    from ifrkit.core.keyed import key_seed
    from ifrkit.models.network import build_network
    from ifrkit.train import distributed
    from ifrkit.train.loop import fit
    from ifrkit.train.stage_one import BranchTask

    config: TrainBranchesConfig = job.config
    network = build_network(getattr(config, branch), store.labels.num_classes, key_seed(config.seed, "network", branch))
    device = distributed.local_device(job.device)
    task = BranchTask(network, config, store, labeled, device, sources).measured()
    loop = config.loop.model_copy(update={"steps": task.steps})
    return fit(task, loop=loop, seed=config.seed, job=job, name=branch, runtime=config.runtime), task.passes


def _check_crop(config: TrainBranchesConfig, store: ClipStore) -> None:
    (height, width), (stored_height, stored_width) = config.crop.size, store.size
    if height > stored_height or width > stored_width:
        fit = f"[{min(height, stored_height)},{min(width, stored_width)}]"
        fault = f"crop.size {height}x{width} is larger than the stored frames ({stored_height}x{stored_width})"
        raise ConfigError(fault, f"use --set crop.size={fit}, or prepare larger frames")


def _pseudo_labels(job: Job, store: ClipStore, labeled: list[int]) -> dict[str, LabelSource]:
    """The label sources that came as inputs, by kind."""
    from ifrkit.data.store.pseudo import PseudoLabels

    given = [artifact for artifact in job.inputs if artifact.kind == "pseudo-labels"]
    return {artifact.kind: PseudoLabels(artifact, store, labeled) for artifact in given}


def _entry(config: TrainBranchesConfig, branch: str, result: FitResult) -> dict[str, Any]:
    network = getattr(config, branch).model_dump(mode="json")
    return {"network": network, "best": result.best, "last": result.last, "best_step": result.best_step}


def _percent(metrics: dict[str, float]) -> str:
    return f"{100 * metrics['miou']:.2f}" if "miou" in metrics else "-"


def _extra_inputs(config: TrainBranchesConfig, inputs: list[Artifact], workspace: Path) -> list[Artifact]:
    """What the methods read beside the clips, and the clips of pseudo labels that came through the pipe."""
    given = inputs[0]
    wanted: dict[str, str] = {}
    for options in config.method.values():
        wanted |= options.artifacts()  # type: ignore[attr-defined]
    if given.kind == "clips":
        return [resolve(workspace, reference, (kind,)) for kind, reference in wanted.items()]
    if given.kind not in wanted:
        fault = f"--ssl {','.join(config.ssl)} reads no {given.kind}, and {given.path} came as input"
        raise ConfigError(fault, "add self-training to --ssl, or give clips")
    clips = given.ancestor("clips")
    return [clips] if clips else []


STAGE = Stage(
    name="train-branches",
    kind="branches",
    config=TrainBranchesConfig,
    run=run,
    needs=("clips",),
    accepts=("pseudo-labels",),
    resumable=True,
    extra_inputs=_extra_inputs,
    label=lambda config: "-".join([*config.ssl, config.labeled.partition.replace("/", "-")]),
)
