"""train-flow: FlowNetS from the unlabeled video itself, or from exact flow where the dataset has it."""

from __future__ import annotations

from ifrkit.artifacts.indexes import Flow
from ifrkit.artifacts.job import Job
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.core.errors import ConfigError
from ifrkit.core.keyed import key_seed
from ifrkit.data.store.clips import ClipStore
from ifrkit.models.flownet import FlowNetS, build_flownet
from ifrkit.train import distributed
from ifrkit.train.flow import FlowTask
from ifrkit.train.loop import FitResult, fit
from ifrkit.trained import load_into


def run(job: Job) -> None:
    """Train, and write flow.json beside the weights."""
    config: TrainFlowConfig = job.config
    result, _ = train(job, config, ClipStore.of(job.input("clips")))
    Flow(width=config.width, **vars(result)).write(job.directory)
    job.metrics.update({"best": result.best, "last": result.last, "best_step": result.best_step})


def train(job: Job, config: TrainFlowConfig, store: ClipStore) -> tuple[FitResult, FlowNetS]:
    """Fit a new FlowNetS; its best weights are loaded on return. Says so when it does not beat zero flow."""
    if config.supervision == "truth" and not store.has_flow:
        raise ConfigError(f"supervision truth: {store.name} has no exact flow", "use photometric")
    store.check_crop(config.crop, "crop")
    flow = build_flownet(config.width, key_seed(config.seed, "flow"))
    task = FlowTask(flow, config, store, distributed.local_device(job.device))
    result = fit(task, loop=config.loop, seed=config.seed, job=job, name="flow", runtime=config.runtime)
    best = result.best
    if best:
        error = "epe" if "epe" in best else "photometric"
        rows = [[error, f"{best[error]:.4f}", f"{best[error + '_zero']:.4f}", f"{100 * best['gain']:.1f} %"]]
        job.report.table("Flow on held-out clips", ["error", "FlowNetS", "zero flow", "error removed"], rows)
        if best["gain"] <= 0:
            job.report.warn("the flow does not beat zero flow; train longer (--steps), or on more video")
    distributed.largest(0)  # rank 0 has written the file when it comes here
    load_into(flow, job.directory / "flow.best.safetensors")
    return result, flow
