"""train-fusion: stage two. The branches, the flow network and what an architecture adds become a video model."""

from __future__ import annotations

from ifrkit.architectures.base import VideoModel
from ifrkit.artifacts.indexes import Branches, Flow
from ifrkit.artifacts.indexes import VideoModel as Index
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.core.keyed import key_seed
from ifrkit.core.plugins import load
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.models.flownet import FlowNetS
from ifrkit.stages._train_flow import train
from ifrkit.train import distributed
from ifrkit.train.loop import FitResult, fit
from ifrkit.train.stage_two import FusionTask
from ifrkit.trained import load_branch, load_flow, load_into


def run(job: Job) -> None:
    """Train, and write model.json beside the weights."""
    config: TrainFusionConfig = job.config
    store, branches = ClipStore.of(job.input("clips")), job.input("branches")
    store.check_crop(config.crop, "crop")
    labeled = _labeled(config, store, branches)
    architecture = load("architectures", config.arch)
    networks = [load_branch(branches, name, config.checkpoint) for name in architecture.branches]
    flow = _flow(job, store)
    model = architecture(*networks, flow, store.labels.num_classes, key_seed(config.seed, "fusion"))
    if config.fusion_init == "average":
        model.average_merge()
    result = _train(job, model, store, labeled)
    trained = Branches.read(branches).branches
    index = Index(
        arch=config.arch,
        num_classes=store.labels.num_classes,
        networks={name: trained[name].network for name in architecture.branches},
        flow_width=_width(job),
        key_interval=config.key_interval,
        labeled=tuple(store.clips[clip].name for clip in labeled),
        **vars(result),
    )
    index.write(job.directory)
    job.metrics.update({"best": result.best, "last": result.last, "best_step": result.best_step})
    scores = [f"{100 * m['miou']:.2f}" if "miou" in m else "-" for m in (result.best, result.last)]
    title = f"Validation mIoU (%), key frame {config.key_interval - 1} before"
    job.report.table(
        title, ["model", "best", "at step", "last"], [[config.arch, scores[0], str(result.best_step), scores[1]]]
    )


def _train(job: Job, model: VideoModel, store: ClipStore, labeled: list[int]) -> FitResult:
    """Each phase in turn, from the last weights of the one before it. The result is that of the last phase."""
    config: TrainFusionConfig = job.config
    device = distributed.local_device(job.device)
    *first, last = model.phases()
    for phase in first:
        task = FusionTask(model, config, store, labeled, device, phase)
        fit(task, loop=config.loop, seed=config.seed, job=job, name=phase.name, runtime=config.runtime)
        distributed.largest(0)  # rank 0 has written the file when it comes here
        load_into(task.kept, job.directory / f"{phase.name}.last.safetensors")
    task = FusionTask(model, config, store, labeled, device, last)
    return fit(task, loop=config.loop, seed=config.seed, job=job, name=last.name, runtime=config.runtime)


def _labeled(config: TrainFusionConfig, store: ClipStore, branches: Artifact) -> list[int]:
    """The labeled set of the branches, unless the config names another."""
    if config.labeled is not None:
        return labeled_clips(store, config.labeled)
    names = set(Branches.read(branches).labeled)
    return [i for i in store.clips_of("train") if store.clips[i].name in names]


def _flow(job: Job, store: ClipStore) -> FlowNetS:
    """The flow artifact's network, or one that is trained here first."""
    for artifact in job.inputs:
        if artifact.kind == "flow":
            return load_flow(artifact)
    job.report.info("no flow artifact of these clips: training flow first (`ifrkit train-flow` makes one to share)")
    return train(
        job, job.config.pretrain.model_copy(update={"runtime": job.config.runtime, "seed": job.config.seed}), store
    )[1]


def _width(job: Job) -> float:
    for artifact in job.inputs:
        if artifact.kind == "flow":
            return float(Flow.read(artifact).width)
    return float(job.config.pretrain.width)
