"""A task of the training loop that takes a millisecond a step: batch norm, dropout, momentum, two loss terms.

torchrun --nproc-per-node 2 tests/helpers/toy_task.py DIRECTORY     trains it on two ranks
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ifrkit.artifacts.job import Display, Job, Silent
from ifrkit.config.training import LoopConfig
from ifrkit.core.config import Runtime
from ifrkit.train import distributed
from ifrkit.train.loop import FitResult, Task, fit

STEPS = 20


class ToyModule(nn.Module):
    """Terms of a step; `poison` gives a factor for the term "extra" of a step."""

    def __init__(self, norm: bool, poison: Callable[[int], float]) -> None:
        super().__init__()
        middle = [nn.BatchNorm1d(8), nn.Dropout(0.3)] if norm else [nn.Tanh()]
        self.layers, self.poison = nn.Sequential(nn.Linear(4, 8), *middle, nn.Linear(8, 2)), poison

    def forward(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        out: Tensor = self.layers(batch)
        return {"sup": (out - 1).square().mean(), "extra": 0.1 * out.abs().mean() * self.poison(step)}


class ToyTask(Task):
    """Samples are a function of (step, position); a rank takes its share of each micro-batch."""

    select: str | None = "score"

    def __init__(
        self,
        parts: int = 1,
        norm: bool = True,
        poison: Callable[[int], float] = lambda step: 1.0,
        score: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        torch.manual_seed(0)
        self.parts, self.score = parts, score
        self.module = ToyModule(norm, poison)
        self.optimizers = [torch.optim.SGD(self.module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)]

    def lrs(self, step: int) -> list[float]:
        return [0.1 * (1 - step / STEPS)]

    def batches(self, start: int, stop: int) -> Iterable[Tensor]:
        for step in range(start, stop):
            samples = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
            parts = samples.chunk(self.parts * distributed.world())
            yield from parts[distributed.rank() * self.parts :][: self.parts]

    def validate(self) -> dict[str, float]:
        assert not self.module.training
        if self.score:
            return self.score()
        return {"score": -float(self.module(torch.ones(2, 4), 0)["sup"])}


def train(
    directory: Path,
    task: ToyTask | None = None,
    *,
    resumed: bool = False,
    stop: Callable[[], int] = lambda: 0,
    report: Display | None = None,
    runtime: dict[str, Any] | None = None,
    **loop: Any,
) -> FitResult:
    """`fit` of a toy in this directory, with its scratch inside as the runner arranges it."""
    scratch = directory / ".scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    job = Job(None, [], directory, scratch, report or Silent(), resumed=resumed, stop=stop)
    options = {"steps": STEPS, "batch": 8, "eval_every": 6, **loop}
    return fit(
        task or ToyTask(parts=options.get("accumulate", 1)),
        loop=LoopConfig.of(options),
        seed=1,
        job=job,
        name="toy",
        runtime=Runtime.of({"log_every": 3, "save_every": 4, **(runtime or {})}),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), ToyTask(norm=False))
