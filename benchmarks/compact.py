"""Training steps of recipe `compact` on a CPU in five ways, from the same weights on the same batches.

    python benchmarks/compact.py [none ifr] [--branch update] [--steps 60] [--root CAMVID --size 180 240]

plain: float32, contiguous maps, torch's own gradients of depthwise convolutions. Then what the recipe does, one on top
of the other: channels-last, our gradients (ifrkit/models/depthwise.py), bfloat16 (`loop.amp`); and what every stage
does, memory that is used again (`reuse_memory`). Each way is a process of its own, and they take each step in turns, so
that other work slows all. Processor time of one thread with optimizer and teacher, without the loader; the median of
all steps but the first three; the loss is the mean over ten. Clips of the synthetic street, or CamVid in the SegNet
layout; the recipe's crops.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from figures import Figures
from torch import Tensor, nn
from turns import in_turns

from ifrkit.config.prepare import PrepareConfig
from ifrkit.config.resolve import resolve
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.core.keyed import key_seed
from ifrkit.core.machine import reuse_memory
from ifrkit.data.loading.batch import RawBatch
from ifrkit.data.store.clips import ClipStore
from ifrkit.data.store.partitions import labeled_clips
from ifrkit.models.backbones import _efficientnet_lite_layers as layers
from ifrkit.models.depthwise import depthwise
from ifrkit.models.network import build_network
from ifrkit.stages import prepare, train_branches
from ifrkit.stages.runner import Run, execute
from ifrkit.train.stage_one import BranchTask

WARM_UP = 3
TAIL = 10


class Way(NamedTuple):
    """How steps are computed."""

    layout: torch.memory_format
    ours: bool
    bf16: bool
    memory: bool


WAYS = {
    "plain": Way(torch.contiguous_format, ours=False, bf16=False, memory=False),
    "channels-last": Way(torch.channels_last, ours=False, bf16=False, memory=False),
    "and our gradients": Way(torch.channels_last, ours=True, bf16=False, memory=False),
    "and bfloat16": Way(torch.channels_last, ours=True, bf16=True, memory=False),
    "and memory used again": Way(torch.channels_last, ours=True, bf16=True, memory=True),
}


def torchs(x: Tensor, filters: Tensor, stride: int, padding: tuple[int, int], dilation: int) -> Tensor:
    """In place of `depthwise`."""
    return F.conv2d(x, filters, None, stride, padding, dilation, x.shape[1])


class Training:
    """A branch with its method, optimizer and teacher."""

    def __init__(self, way: Way, config: TrainBranchesConfig, branch: str, store: ClipStore) -> None:
        self.way = way
        network = build_network(getattr(config, branch), store.labels.num_classes, key_seed(config.seed, "network"))
        self.task = BranchTask(network, config, store, labeled_clips(store, config.labeled), torch.device("cpu"))
        self.task.module.train().to(memory_format=way.layout)  # type: ignore[call-overload]

    def step(self, raw: RawBatch, step: int) -> tuple[float, float]:
        """As ifrkit/train/loop.py takes it. Returns its seconds and its loss."""
        begin = time.process_time()
        (optimizer,), clip = self.task.optimizers, self.task.config.loop.clip_norm
        for group, rate in zip(optimizer.param_groups, self.task.lrs(step), strict=True):
            group["lr"] = rate
        optimizer.zero_grad()
        batch = self.task.to_device(raw)
        batch.views = {name: view.contiguous(memory_format=self.way.layout) for name, view in batch.views.items()}
        torch.manual_seed(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.way.bf16):
            terms = self.task.module(batch, step)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        torch.autograd.backward(total)
        if clip is not None:
            nn.utils.clip_grad_norm_(self.task.module.network.parameters(), clip)
        optimizer.step()
        self.task.stepped(step)
        return time.process_time() - begin, total.item()


def taken_steps(name: str, config: TrainBranchesConfig, branch: str, clips: Path) -> Iterator[tuple[float, float]]:
    """Seconds and loss of each step of one way, in a process of its own."""
    way = WAYS[name]
    if way.memory:
        reuse_memory()
    torch.set_num_threads(1)
    with mock.patch.object(layers, "depthwise", depthwise if way.ours else torchs):
        training = Training(way, config, branch, ClipStore(clips))
        for step, raw in enumerate(training.task.batches(0, config.loop.steps)):
            yield training.step(raw, step)


def prepared(args: argparse.Namespace, place: Path) -> Path:
    """The clips."""
    tree: dict[str, Any] = {"dataset": "synthetic", "options": {"height": 192, "width": 320}}
    if args.root:
        tree = {"dataset": "camvid", "root": str(args.root.resolve()), "size": args.size}
    artifact = execute(prepare.STAGE, PrepareConfig.of(tree), Run(workspace=place, inputs=[]))
    return artifact.path


def measure(ssl: str, clips: Path, args: argparse.Namespace, figures: Figures) -> None:
    """All ways of one method, and its rows."""
    config, _ = resolve(
        train_branches.STAGE.config_type,
        "train-branches",
        recipes=("compact",),
        flags={"ssl": (ssl, "--ssl")},
        sets=(f"loop.steps={args.steps}", f"labeled.count={args.labels}", "runtime.workers=0"),
    )
    assert isinstance(config, TrainBranchesConfig)
    steps = in_turns({name: partial(taken_steps, name, config, args.branch, clips) for name in WAYS}, args.steps)
    base = statistics.median(seconds for seconds, _ in steps["plain"][WARM_UP:])
    for name, taken in steps.items():
        seconds, all_losses = statistics.median(s for s, _ in taken[WARM_UP:]), [loss for _, loss in taken]
        middle, last = (statistics.mean(all_losses[at - TAIL : at]) for at in (args.steps // 2, args.steps))
        losses = f"{all_losses[0]:.3f} | {middle:.3f} | {last:.3f}"
        print(f"| `{ssl}` | {name} | {1e3 * seconds:.0f} | {base / seconds:.2f} | {losses} |", flush=True)
        figures.add(f"{ssl}, {name}", smaller={"ms": 1e3 * seconds}, larger={"over plain": base / seconds})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=["none", "ifr"], metavar="NAME")
    parser.add_argument("--branch", choices=["update", "reference"], default="update")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--labels", type=int, default=6)
    parser.add_argument("--root", type=Path, help="CamVid in place of the street")
    parser.add_argument("--size", type=int, nargs=2, help="of its frames")
    Figures.option(parser)
    args = parser.parse_args()
    if args.steps < 2 * TAIL:
        parser.error(f"--steps: at least {2 * TAIL}")
    figures = Figures()
    with tempfile.TemporaryDirectory() as place:
        clips = prepared(args, Path(place))
        print(f"| method | way | ms a step | ratio | loss at first | at {args.steps // 2} | at {args.steps} |")
        print("|---|---|---|---|---|---|---|")
        for ssl in args.methods:
            measure(ssl, clips, args, figures)
    figures.write(args.json)


if __name__ == "__main__":
    main()
