"""A real training step of a plan, tried on synthetic video: what it costs, before any data is there."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ifrkit.config.network import network_config
from ifrkit.config.prepare import PrepareConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.config.training import LoopConfig
from ifrkit.core.plugins import load
from ifrkit.data.store.clips import ClipStore
from ifrkit.models.flownet import FlowNetS
from ifrkit.models.network import build_network
from ifrkit.reproduce.estimate import Step, Training
from ifrkit.stages.prepare import STAGE
from ifrkit.stages.runner import Run, execute
from ifrkit.train.flow import FlowTask
from ifrkit.train.half_precision import autocast
from ifrkit.train.loop import Task
from ifrkit.train.stage_one import BranchTask
from ifrkit.train.stage_two import FusionTask

CLASSES = 19
SMALLEST = 32
"""A crop may be halved while both sides stay this long."""
ENOUGH = 1.0
"""Seconds: a step that takes so long on a smaller crop tells how long it takes on the whole one."""

Size = tuple[int, int]


class Probe:
    """Runs single steps of trainings. Use it as a context: its video lies in a temporary folder."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.stores: dict[Size, ClipStore] = {}

    def __enter__(self) -> Probe:
        self._folder = tempfile.TemporaryDirectory(prefix="ifrkit-probe-")
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def measure(self, training: Training) -> Step:
        """A step: on a GPU as it will be; on the CPU a smaller one where that is long enough, scaled by pixels."""
        sizes = _sizes(training)
        halvings = 0 if self.device.type == "cuda" else len(sizes) - 1
        while True:
            task = self.task(training, sizes[halvings])
            step = self.step(task, LoopConfig.of(training.config["loop"]))
            times = []
            for _ in range(2):  # the first one prepares
                begun = time.perf_counter()
                step()
                times.append(time.perf_counter() - begun)
            if min(times) > ENOUGH or halvings == 0:
                passes = str(task.passes) if isinstance(task, BranchTask) else ""
                return Step(min(times) * 4.0**halvings, passes, measured=False)
            halvings -= 1

    def task(self, training: Training, crop: Size) -> Task:
        """What trains, with another crop than the plan has."""
        branches = training.stage == "train-branches"
        config = {**training.config, "crop": {**training.config["crop"], "size": crop} if branches else crop}
        config |= {"runtime": {"workers": 0}}
        store = self._store(crop)
        networks = {
            name: build_network(network_config(tree), CLASSES, seed=0) for name, tree in training.networks.items()
        }
        labeled = store.clips_of("train")
        if branches:
            (network,) = networks.values()
            given_one = TrainBranchesConfig.of(config)
            return BranchTask(network, given_one, store, labeled, self.device).measured()
        if training.stage == "train-flow":
            given = TrainFlowConfig.of(config)
            return FlowTask(FlowNetS(given.width), given, store, self.device)
        fusion = TrainFusionConfig.of(config)
        architecture, flow = load("architectures", fusion.arch), FlowNetS(training.flow_width)
        model = architecture.build(*(networks[name] for name in architecture.branches), flow, CLASSES)
        (phase,) = (phase for phase in model.phases() if phase.name == training.name)
        return FusionTask(model, fusion, store, labeled, self.device, phase)

    def step(self, task: Task, loop: LoopConfig) -> Callable[[], None]:
        """Forward and backward of all micro-batches, after every ramp-up and late start."""
        batches = [task.to_device(item) for item in task.batches(0, 1)]
        if loop.channels_last:
            task.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        task.module.train()

        def run() -> None:
            for batch in batches:
                with autocast(loop.amp, self.device):
                    terms = task.module(batch, 10**9)
                torch.autograd.backward(torch.stack([term.float() for term in terms.values()]).sum())
            if self.device.type == "cuda":
                torch.cuda.synchronize()

        return run

    def _store(self, crop: Size) -> ClipStore:
        """Clips twice as large as the crop."""
        if crop not in self.stores:
            options = {"train_videos": 3, "val_videos": 1, "height": 2 * crop[0], "width": 2 * crop[1]}
            tree: dict[str, Any] = {"dataset": "synthetic", "options": options, "runtime": {"workers": 0}}
            config = PrepareConfig.of(tree)
            made = execute(STAGE, config, Run(workspace=Path(self._folder.name), inputs=[]))
            self.stores[crop] = ClipStore(made.path)
        return self.stores[crop]


def _sizes(training: Training) -> list[Size]:
    """The crop, and half of it, and so on."""
    crop = training.config["crop"]
    height, width = crop["size"] if isinstance(crop, dict) else crop
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * SMALLEST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes
