"""Training of FlowNetS as a task of the loop: photometric, from the unlabeled video itself, or from exact flow."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrkit.artifacts.indexes import Flow
from ifrkit.artifacts.job import Job
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.core.keyed import key_seed
from ifrkit.data.loading.batch import ClipBatch
from ifrkit.data.loading.clip_loader import clip_batches
from ifrkit.data.store.clips import ClipStore
from ifrkit.models import flow_losses as losses
from ifrkit.models.flownet import FlowNetS, build_flownet, full_size
from ifrkit.models.video import flow_input
from ifrkit.models.warp import warp
from ifrkit.train import distributed
from ifrkit.train.flow_clips import require, shot_of
from ifrkit.train.loop import FitResult, Task, fit
from ifrkit.train.spans import span_of
from ifrkit.trained import load_into

WARMUP_SMOOTHNESS = 0.05
"""L1 + SSIM is about this much smaller than the census distance, so smoothness shrinks along during the warm-up."""
VALIDATION_CLIPS = 16


def run(job: Job) -> None:
    """Train, and write flow.json beside the weights."""
    config: TrainFlowConfig = job.config
    result, _ = train_flow(job, config, ClipStore.of(job.input("clips")))
    if distributed.rank() == 0:
        Flow(width=config.width, **vars(result)).write(job.directory)
    job.metrics.update({"best": result.best, "last": result.last, "best_step": result.best_step})


def train_flow(job: Job, config: TrainFlowConfig, store: ClipStore) -> tuple[FitResult, FlowNetS]:
    """Fit a new FlowNetS; its best weights are loaded on return. Says so when it does not beat zero flow."""
    require(config, store)
    flow = build_flownet(config.width, key_seed(config.seed, "flow"))
    task = FlowTask(flow, config, store, distributed.local_device(job.device))
    result = fit(task, loop=config.loop, seed=config.seed, job=job, name="flow", runtime=config.runtime)
    best = result.best
    if best:
        error = "epe" if "epe" in best else "photometric"
        rows = [[error, f"{best[error]:.4f}", f"{best[error + '_zero']:.4f}", f"{100 * best['gain']:.1f} %"]]
        job.display.table("Flow on held-out clips", ["error", "FlowNetS", "zero flow", "error removed"], rows)
        if best["gain"] <= 0:
            job.display.warn("the flow does not beat zero flow; train longer (--steps), or on more video")
    distributed.largest(0)  # rank 0 has written the file when it comes here
    load_into(flow, job.directory / "flow.best.safetensors")
    return result, flow


class FlowLosses(nn.Module):
    """FlowNetS and what it minimises; `warmup` steps are spent on L1 + SSIM."""

    def __init__(self, flow: FlowNetS, smoothness: float, warmup: int) -> None:
        super().__init__()
        self.flow, self.smoothness, self.warmup = flow, smoothness, warmup

    def forward(self, batch: ClipBatch, step: int) -> dict[str, Tensor]:
        """Loss terms of frames 0 and 1 of the batch; with exact flow its end-point error alone."""
        earlier, current = flow_input(batch.frames_bt3hw[:, 0]), flow_input(batch.frames_bt3hw[:, 1])
        if batch.flow_bt2hw is not None and batch.valid_bthw is not None:
            valid_b1hw = batch.valid_bthw[:, :1].float()
            return {
                "epe": losses.endpoint_error(self.flow.pyramid(current, earlier), batch.flow_bt2hw[:, 0], valid_b1hw)
            }
        there, back = self.flow.pyramid(current, earlier), self.flow.pyramid(earlier, current)
        warmup = step < self.warmup
        photometric = self._photometric(current, earlier, there, back[0], warmup)
        photometric = photometric + self._photometric(earlier, current, back, there[0], warmup)
        quarter = [losses.shrink(image, there[0]) for image in (current, earlier)]
        smooth = losses.smoothness(there[0], quarter[0]) + losses.smoothness(back[0], quarter[1])
        weight = self.smoothness * (WARMUP_SMOOTHNESS if warmup else 1.0)
        return {"photometric": photometric / 2, "smooth": weight * smooth / 2}

    def _photometric(
        self, current: Tensor, earlier: Tensor, pyramid: list[Tensor], back_b2hw: Tensor, warmup: bool
    ) -> Tensor:
        """Mean over three levels of the distance between the current frame and the earlier one warped onto it."""
        finest = pyramid[0].detach()
        visible = losses.consistent(finest, back_b2hw.detach())
        if warmup:  # a check of untrained flow against itself would hide everything
            visible = (losses.range_map(back_b2hw) > 0.2).float()
        visible = visible * losses.in_frame(finest)
        half = (-(-current.shape[-2] // 2), -(-current.shape[-1] // 2))
        total = current.new_zeros(())
        for level, flow in enumerate(pyramid[:3]):
            # The finest flow is judged at half size, where there is more to see than in its own map.
            if level == 0:
                flow = F.interpolate(flow, half, mode="bilinear", align_corners=False) * 2
            target, source = (losses.shrink(image, flow) for image in (current, earlier))
            warped = warp(source, flow)
            if warmup:
                distance = 0.15 * losses.l1(target, warped) + 0.85 * losses.ssim(target, warped)
            else:
                distance = losses.census(target, warped, radius=3 if min(flow.shape[-2:]) >= 32 else 1)
            total = total + losses.masked_mean(distance, F.interpolate(visible, flow.shape[-2:], mode="nearest"))
        return total / 3


class FlowTask(Task):
    """FlowNetS to train on the training clips of a store."""

    select = "gain"

    def __init__(self, flow: FlowNetS, config: TrainFlowConfig, store: ClipStore, device: torch.device) -> None:
        self.config, self.store, self.device, self.flow = config, store, device, flow
        warmup = round(config.warmup_share * config.loop.steps)
        self.module = FlowLosses(flow, config.smoothness, warmup).to(device)
        biases = [p for name, p in flow.named_parameters() if name.endswith("bias")]
        weights = [p for name, p in flow.named_parameters() if not name.endswith("bias")]
        groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": biases, "weight_decay": 0.0}]
        self.optimizers = [torch.optim.Adam(groups, lr=config.lr)]
        self.images = 2 * config.loop.batch

    def lrs(self, step: int) -> list[float]:
        """Up to `lr` in the first quarter, because Adam's first steps shake a start near zero flow, then down to 0."""
        done = (step + 1) / (self.config.loop.steps + 1)
        return [self.config.lr * min(4 * done, 4 / 3 * (1 - done))] * 2

    def batches(self, start: int, stop: int) -> Iterator[ClipBatch]:
        shot = shot_of(self.config, self.store)
        return clip_batches(self.store, self.store.clips_of("train"), shot, span_of(self.config, start, stop))

    def to_device(self, item: ClipBatch) -> ClipBatch:
        return item.to(self.device)

    def validate(self) -> dict[str, float]:
        """Held-out pairs of neighbours, beside zero flow: `gain` is the share of zero flow's error that is gone."""
        val = [c for c in self.store.clips_of("val") if len(self.store.clips[c].frames) > 1][:VALIDATION_CLIPS]
        rows = [self._judge(clip, len(self.store.clips[clip].frames) - 1) for clip in val]
        if not rows:
            return {}
        means = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        error = "epe" if "epe" in means else "photometric"
        return {**means, "gain": 1 - means[error] / max(means[f"{error}_zero"], 1e-9)}

    def _judge(self, clip: int, index: int) -> dict[str, float]:
        frames = [
            torch.from_numpy(self.store.frame(clip, i)).permute(2, 0, 1)[None].to(self.device)
            for i in (index, index - 1)
        ]
        current, earlier = (flow_input(frame) for frame in frames)
        flow = full_size(self.flow(current, earlier), (current.shape[-2], current.shape[-1]))
        mask = losses.in_frame(flow)
        result = {
            "photometric": losses.masked_mean(losses.l1(current, warp(earlier, flow)), mask).item(),
            "photometric_zero": losses.masked_mean(losses.l1(current, earlier), mask).item(),
        }
        truth = self.store.flow(clip, index, backward=True)
        if truth is not None:
            exact, seen = (torch.from_numpy(part).to(self.device)[None] for part in truth)
            for key, guess in (("epe", flow), ("epe_zero", torch.zeros_like(flow))):
                error = torch.linalg.vector_norm(guess - exact, dim=1, keepdim=True)
                result[key] = losses.masked_mean(error, seen[None].float()).item()
        return result

    def state(self) -> dict[str, Tensor]:
        return self.flow.state_dict()
