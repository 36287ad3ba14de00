"""Stage one: train the reference and the update branch, each on its own, with semi-supervised methods beside them."""

from __future__ import annotations

from ifrkit.artifacts.indexes import Branch, Branches, PassCount
from ifrkit.artifacts.job import Job
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.keyed import key_seed
from ifrkit.data.loading.views import LabelSource
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.data.store.pseudo import PseudoLabels
from ifrkit.models.network import build_network
from ifrkit.train import distributed
from ifrkit.train.loop import FitResult, fit
from ifrkit.train.passes import Passes
from ifrkit.train.stage_one import BranchTask


def run(job: Job) -> None:
    """Train each branch of the config, and write branches.json beside their weights and event logs."""
    config: TrainBranchesConfig = job.config
    store = ClipStore.of(job.input("clips"))
    store.check_crop(config.crop.size, "crop.size")
    labeled = labeled_clips(store, config.labeled)
    job.report.info(f"{len(labeled)} labeled of {len(store.clips_of('train'))} training clips")
    sources = _pseudo_labels(job, store, labeled)
    results = {}
    passes: dict[str, Passes] = {}
    for branch in config.branches:
        results[branch], passes[branch] = _train(job, branch, store, labeled, sources)
    index = Branches(
        num_classes=store.labels.num_classes,
        branches={branch: _entry(config, branch, result) for branch, result in results.items()},
        passes={name: PassCount(**count._asdict(), cost=count.cost) for name, count in passes.items()},
        labeled=tuple(store.clips[clip].name for clip in labeled),
    )
    index.write(job.directory)
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
    config: TrainBranchesConfig = job.config
    network = build_network(getattr(config, branch), store.labels.num_classes, key_seed(config.seed, "network", branch))
    device = distributed.local_device(job.device)
    task = BranchTask(network, config, store, labeled, device, sources).measured()
    loop = config.loop.model_copy(update={"steps": task.steps})
    return fit(task, loop=loop, seed=config.seed, job=job, name=branch, runtime=config.runtime), task.passes


def _pseudo_labels(job: Job, store: ClipStore, labeled: list[int]) -> dict[str, LabelSource]:
    """The label sources that came as inputs, by kind."""
    given = [artifact for artifact in job.inputs if artifact.kind == "pseudo-labels"]
    return {artifact.kind: PseudoLabels(artifact, store, labeled) for artifact in given}


def _entry(config: TrainBranchesConfig, branch: str, result: FitResult) -> Branch:
    network = getattr(config, branch).model_dump(mode="json")
    return Branch(network=network, **vars(result))


def _percent(metrics: dict[str, float]) -> str:
    return f"{100 * metrics['miou']:.2f}" if "miou" in metrics else "-"
