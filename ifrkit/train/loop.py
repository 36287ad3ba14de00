"""The one training loop: AMP, gradient accumulation, ranks, logging, validation, checkpoints and exact resume.

Nothing random is state: before each (micro-)step the global generator is seeded with a key of that step, so a dropout
mask depends on (seed, run, step, micro-step, rank) alone, and a resumed run equals one that was never stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ifrkit.artifacts.atomic import write_atomic
from ifrkit.artifacts.job import Job, Silent
from ifrkit.artifacts.notes import checksums, read_note, require_unchanged, write_note
from ifrkit.config.training import LoopConfig
from ifrkit.core.config import Runtime
from ifrkit.core.errors import InterruptedRun
from ifrkit.core.keyed import key_seed
from ifrkit.media.pictures import Rgb
from ifrkit.models.weights import packed, save_weights
from ifrkit.train import distributed
from ifrkit.train.events import EventLog, LossWatch
from ifrkit.train.half_precision import autocast, computed_in
from ifrkit.train.state import load_state, require_finite, save_state
from ifrkit.train.threads import ThreadWatch


class Task:
    """What is trained; subclass it. The loop calls nothing else.

    module: its forward(batch, step) returns weighted scalar loss terms by name, and the loop minimises their sum; it
    already lies on its device. optimizers: each trains parameters of its own. select: the key of `validate()` that is
    maximised; None: the last weights are the best. images: how many a step takes through the network over all ranks,
    for the throughput display.
    """

    module: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    select: str | None = None
    images: int = 0

    def lrs(self, step: int) -> list[float]:
        """Learning rate of each parameter group of all optimizers, in their order, at a step (0 is the first)."""
        raise NotImplementedError

    def batches(self, start: int, stop: int) -> Iterable[Any]:
        """Micro-batches of steps start..stop-1 of this rank, in order, on the CPU."""
        raise NotImplementedError

    def to_device(self, item: Any) -> Any:
        """A micro-batch as the module's forward takes it."""
        return item

    def stepped(self, step: int) -> None:
        """Called after the optimizers' step; 0 is the first (mean teachers follow here)."""

    def notes(self) -> dict[str, Any]:
        """What else stands in the log, over the steps since the last call. Called on all ranks alike."""
        return {}

    def validate(self) -> dict[str, float]:
        """Metrics of the present weights (module in eval mode, no gradients); empty if there is nothing to measure."""
        return {}

    def picture(self) -> Rgb | None:
        """What the present weights see, for TensorBoard: asked after `validate`, on the first rank only."""
        return None

    def state(self) -> dict[str, Tensor]:
        """What the files of last and best weights hold."""
        return self.module.state_dict()


@dataclass
class FitResult:
    """Metrics of the last and of the best weights; best_step counts finished steps."""

    last: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = 0


def fit(task: Task, *, loop: LoopConfig, seed: int, job: Job, name: str, runtime: Runtime) -> FitResult:
    """Train for `loop.steps` steps.

    Writes `{name}.last.safetensors`, `{name}.best.safetensors` (ties keep the earlier) and `{name}.events.jsonl` into
    job.directory. A resumed job goes on from its saved state, and answers at once for a run that had finished. Raises
    InterruptedRun after saving the state on a signal, and DivergedError before anything that is not finite is saved.
    """
    distributed.start()
    loop.share(distributed.world())
    done = job.scratch / f"{name}.done.json"
    if job.resumed and done.exists():
        note = read_note(done)
        require_unchanged(job.directory, note["files"])
        job.display.info(f"{name}: already trained")
        return FitResult(**note["result"])
    run = _Run(task, loop, seed, job, name, runtime)
    task.module.train()
    try:
        watch = ThreadWatch(run.device, run.display)
        batches = iter(task.batches(run.start, loop.steps))
        run.start_clock(run.start)
        for step in run.display.track(range(run.start, loop.steps), name, total=loop.steps, start=run.start):
            with watch.step():
                run.train_step(step, batches)
            run.after_step(step + 1)
        return run.finish()
    finally:
        if run.events:
            run.events.close()


class _Run:
    """One run of `fit`: its parts and where it stands."""

    def __init__(self, task: Task, loop: LoopConfig, seed: int, job: Job, name: str, runtime: Runtime) -> None:
        self.task, self.loop, self.seed, self.job, self.name, self.runtime = task, loop, seed, job, name, runtime
        self.rank = distributed.rank()
        self.display = job.display if self.rank == 0 else Silent()
        self.device = next(task.module.parameters()).device
        if loop.channels_last:
            task.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        if loop.amp == "auto" and computed_in(loop.amp, self.device) == "bf16":
            self.display.info(f"{name}: computed in bfloat16 (--set loop.amp=off: in float32)")
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=loop.amp == "fp16")
        self.watch = LossWatch()
        self.result = FitResult()
        self.state_path = job.scratch / f"{name}.state.pt"
        self.best: bytes | None = None
        """The file of the best weights, while it is not written."""
        self.best_sha256 = ""
        saved = job.resumed and self.state_path.exists()
        self.start, kept = self._restore() if saved else (0, (0, ""))
        self.events = EventLog(self._file("events.jsonl"), kept) if self.rank == 0 else None
        if self.events and runtime.tensorboard:
            self.events.add_tensorboard(job.directory / "tensorboard" / name, self.start, job.display)
        self.wrapped = distributed.wrap(task.module)

    def train_step(self, step: int, batches: Iterator[Any]) -> None:
        """All micro-batches of a step, and the optimizers' step."""
        for group, lr in zip(self._groups(), self.task.lrs(step), strict=True):
            group["lr"] = lr
        for optimizer in self.task.optimizers:
            optimizer.zero_grad()
        for micro in range(self.loop.accumulate):
            batch = self.task.to_device(next(batches))
            torch.manual_seed(key_seed(self.seed, "step", self.name, step, micro, self.rank))
            with self._no_sync(micro):
                with autocast(self.loop.amp, self.device):
                    terms = self.wrapped(batch, step)
                total = torch.stack([term.float() for term in terms.values()]).sum()
                self.scaler.scale(total / self.loop.accumulate).backward()  # type: ignore[no-untyped-call]
            self.watch.add(terms, step)
        if self.loop.clip_norm is not None:
            self._clip(self.loop.clip_norm)
        for optimizer in self.task.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        self.task.stepped(step)

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.task.optimizers for group in optimizer.param_groups]

    def _clip(self, norm: float) -> None:
        for optimizer in self.task.optimizers:
            self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_((p for group in self._groups() for p in group["params"]), norm)

    def _no_sync(self, micro: int) -> contextlib.AbstractContextManager[None]:
        """Ranks average gradients once a step: in the backward pass of its last micro-batch."""
        if isinstance(self.wrapped, DistributedDataParallel) and micro < self.loop.accumulate - 1:
            return self.wrapped.no_sync()
        return contextlib.nullcontext()

    def after_step(self, done: int) -> None:
        """Log, validate, save and stop, as they fall due after `done` steps."""
        validates = done == self.loop.steps or done % self.loop.eval_every == 0
        signum = distributed.largest(self.job.stop())
        saves = signum or validates or done % self.runtime.save_every == 0
        if saves or done % self.runtime.log_every == 0:
            self._log(done)
        if validates:
            self._validate(done)
        if saves:
            self._save(done)
        if self.best is not None:  # after the state that names it: a run killed in between makes the same file again
            write_atomic(self._file("best.safetensors"), self.best)
            self.best = None
        if signum and done < self.loop.steps:
            fault = f"{self.name}: stopped by signal {signum} after step {done} of {self.loop.steps}, state saved"
            raise InterruptedRun(fault, "run again with --resume to go on", signum=signum)

    def _log(self, done: int) -> None:
        losses, notes = self.watch.flush(), self.task.notes()
        seconds = (time.monotonic() - self._clock) / max(1, done - self._clock_step)
        loss, lrs = sum(losses.values()), [group["lr"] for group in self._groups()]
        images = f"  {self.task.images / seconds:.1f} img/s" if self.task.images else ""
        terms = f" ({', '.join(f'{name} {value:.3g}' for name, value in losses.items())})" if len(losses) > 1 else ""
        self.display.status(f"loss {loss:.4g}{terms}  lr {self.task.optimizers[0].param_groups[-1]['lr']:.2e}{images}")
        if self.events:
            self.events.write(step=done, loss=loss, losses=losses, lr=lrs, seconds=round(seconds, 5), **notes)
        self.start_clock(done)

    def start_clock(self, done: int) -> None:
        """Count the time of a step from now on."""
        self._clock, self._clock_step = time.monotonic(), done

    def _validate(self, done: int) -> None:
        self._check_weights(done)
        self.task.module.eval()
        with torch.no_grad():
            metrics = self.task.validate()
            picture = self.task.picture() if self.events and self.events.board else None
        self.task.module.train()
        key = self.task.select or ""
        best = key not in metrics or metrics[key] > self.result.best.get(key, -math.inf)  # a tie keeps the earlier
        self.result.last = metrics
        if best:
            self.result.best, self.result.best_step = metrics, done
            self._take_best()
        if metrics and self.events:
            self.events.write(step=done, metrics=metrics, best=best)
        if picture is not None and self.events:
            self.events.show(picture, done)
        self.start_clock(done)

    def _check_weights(self, done: int) -> None:
        """What comes next measures or saves the weights: they must be the same on all ranks, and finite."""
        distributed.share_buffers(self.task.module)
        require_finite(self.task.module.state_dict(), done)

    def _file(self, suffix: str) -> Path:
        return self.job.directory / f"{self.name}.{suffix}"

    def _take_best(self) -> None:
        """The present weights are the best so far."""
        if self.rank == 0:
            self.best = packed(self.task.state())
            self.best_sha256 = hashlib.sha256(self.best).hexdigest()

    def _save(self, done: int) -> None:
        self._check_weights(done)
        if self.events:
            state = {
                "step": done,
                "module": self.task.module.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.task.optimizers],
                "scaler": self.scaler.state_dict(),
                "result": asdict(self.result),
                "events": self.events.mark(),
                "best_sha256": self.best_sha256,
            }
            save_state(self.state_path, state)
            write_note(self.job.scratch / "progress.json", {"step": done, "steps": self.loop.steps})

    def _restore(self) -> tuple[int, tuple[int, str]]:
        """Take over the saved state: the first step to do, and the mark of the event log then."""
        state = load_state(self.state_path)
        self.task.module.load_state_dict(state["module"])
        for optimizer, saved in zip(self.task.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.scaler.load_state_dict(state["scaler"])
        self.result = FitResult(**state["result"])
        best = self._file("best.safetensors")
        if self.result.best_step == state["step"]:
            self._take_best()
            if self.rank == 0 and self.best is not None:
                write_atomic(best, self.best)
                self.best = None
        elif self.result.best_step and self.rank == 0:
            self.best_sha256 = state["best_sha256"]
            require_unchanged(self.job.directory, {best.name: self.best_sha256})
        return state["step"], tuple(state["events"])

    def finish(self) -> FitResult:
        """Save the last weights, and a note that this network is trained; the larger state is not needed any more."""
        if self.rank == 0:
            last, files = self._file("last.safetensors"), [self._file("best.safetensors"), self._file("events.jsonl")]
            save_weights(last, self.task.state())
            note = {"result": asdict(self.result), "files": checksums(last, *(path for path in files if path.exists()))}
            write_note(self.job.scratch / f"{self.name}.done.json", note)
            self.state_path.unlink(missing_ok=True)
        return self.result
