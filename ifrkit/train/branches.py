"""Stage one from its inputs to its artifact: each branch trained on its own, and what is written of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ifrkit.artifacts.indexes import Branch, Branches, PassCount
from ifrkit.artifacts.job import Job
from ifrkit.artifacts.store import Artifact
from ifrkit.config.network import NetworkConfig, branch_title
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.config import files_of
from ifrkit.core.keyed import key_seed
from ifrkit.core.plugins import load
from ifrkit.data.loading.views import LabelSource
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.features import CachedFeatures
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.data.store.pseudo import PseudoLabels
from ifrkit.models.backbones.base import Backbone
from ifrkit.models.network import Network, build_network
from ifrkit.models.public import AUTO
from ifrkit.train import distributed
from ifrkit.train.cached import CachedTask
from ifrkit.train.calibration import temperatures
from ifrkit.train.chosen import taught_methods, teacher_of
from ifrkit.train.loop import FitResult, fit
from ifrkit.train.passes import Passes
from ifrkit.train.stage_one import BranchTask, Sources
from ifrkit.trained import load_branch

_THIN = 0.2
"""Below this share of labeled pixels a mean over all pixels makes the labels count for little."""


def run(job: Job) -> None:
    """Train each branch of the config, and write branches.json beside their weights and event logs."""
    config: TrainBranchesConfig = job.config
    distributed.start()
    store = ClipStore.of(job.input("clips"))
    store.check_crop(config.crop.fitted(store.size).size, "crop.size")
    labeled = labeled_clips(store, config.labeled)
    job.display.info(_labels_used(store, labeled, config))
    if thin := thinly_labeled(store, config):
        job.display.warn(thin)
    sources = sources_of(job.inputs, store, labeled)
    cached = next((CachedFeatures(artifact) for artifact in job.inputs if artifact.kind == "features"), None)
    device, classes = distributed.local_device(job.device), store.labels.num_classes
    results: dict[str, FitResult] = {}
    passes: dict[str, Passes] = {}
    warmth: dict[str, dict[str, float]] = {}
    if len(config.branches) == 2 and "branches" not in sources and (taught := taught_methods(config)):
        job.display.info(f"reference comes first: it labels frames for the update branch of {','.join(taught)}")
    for branch in sorted(config.branches):  # the reference first: it may teach the update branch
        network = build_network(getattr(config, branch), classes, key_seed(config.seed, "network", branch))
        if cached is None:
            task = BranchTask(network, config, store, labeled, device, sources).measured()
        else:
            task = CachedTask(network, config, store, labeled, device, cached)
            job.display.info(task.said)
        loop = replace(config.loop, steps=task.steps)
        results[branch] = fit(task, loop=loop, seed=config.seed, job=job, name=branch, runtime=config.runtime)
        passes[branch] = task.passes
        files = {kept: job.directory / f"{branch}.{kept}.safetensors" for kept in ("best", "last")}
        warmth[branch] = temperatures(store, files, task.use, task.logits, job.display)
        if branch == "reference":
            task.use(files["last"])  # as `teacher_of` has it
            sources = {"branches": task.exported, **sources}
    results = {branch: results[branch] for branch in config.branches}
    index = Branches(
        num_classes=classes,
        branches={
            name: _entry(getattr(config, name), result, warmth[name], cached) for name, result in results.items()
        },
        passes={name: PassCount(**count._asdict(), cost=count.cost) for name, count in passes.items()},
        labeled=tuple(store.clips[clip].name for clip in labeled),
    )
    if distributed.rank() == 0:  # two that write one file take it from each other
        index.write(job.directory)
    job.metrics.update(
        {branch: {"best": r.best, "last": r.last, "best_step": r.best_step} for branch, r in results.items()}
    )
    rows = [
        [name, branch_title(entry.network), *_row(results[name]), str(passes[name])]
        for name, entry in index.branches.items()
    ]
    job.display.table("Validation mIoU (%)", ["branch", "backbone", "best", "at step", "last", "image passes"], rows)


def thinly_labeled(store: ClipStore, config: TrainBranchesConfig) -> str:
    """What to say of scribbles and points under a loss that divides by all pixels; empty: nothing."""
    *known, ignored = store.index.histogram.get("train", (0,))
    share = sum(known) / max(sum(known) + ignored, 1)
    if not known or share >= _THIN or config.ce_mean == "valid":
        return ""
    fault = f"{100 * share:.2g}% of the labeled frames' pixels have a class, and the loss is a mean over all of them"
    return f"{fault}: --set ce_mean=valid takes the mean over those that have one"


def _labels_used(store: ClipStore, labeled: list[int], config: TrainBranchesConfig) -> str:
    """How many labels training sees, of how many, and what keeps the others from it."""
    train = store.clips_of("train")
    left = sum(store.clips[clip].annotated is not None for clip in train) - len(labeled)
    kept = f"; {left} other labels are not used (labeled: {config.labeled.named})" if left else ""
    return f"{len(labeled)} labeled of {len(train)} training clips{kept}"


def sources_of(inputs: Sequence[Artifact], store: ClipStore, labeled: list[int]) -> Sources:
    """What came as inputs beside the clips, by kind: labels, a teacher."""
    found: dict[str, LabelSource | Network] = {}
    for artifact in inputs:
        if artifact.kind == "pseudo-labels":
            found[artifact.kind] = PseudoLabels(artifact, store, labeled)
        elif artifact.kind == "branches":
            found[artifact.kind] = load_branch(artifact, *teacher_of(artifact, store))
    return found


def _entry(
    config: NetworkConfig, result: FitResult, temperature: dict[str, float], cached: CachedFeatures | None
) -> Branch:
    network = config.tree()
    if cached is None:
        plugin: Backbone = load("backbones", config.backbone)(config)
        source = plugin.source() if config.pretrained == AUTO else {}
    else:
        source = cached.index.pretrained
        network |= {name: cached.index.network[name] for name in files_of(type(config))}
    return Branch(network=network, **vars(result), temperature=temperature, pretrained=source)


def _row(result: FitResult) -> list[str]:
    return [_percent(result.best), str(result.best_step), _percent(result.last)]


def _percent(metrics: dict[str, float]) -> str:
    return f"{100 * metrics['miou']:.2f}" if "miou" in metrics else "-"
