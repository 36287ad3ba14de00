"""train-flow and train-fusion on tiny_run's clips, a few steps each.

torchrun --nproc-per-node 2 tests/helpers/tiny_video.py WORKSPACE RUNS
    RUNS: JSON list of ("flow" or "fusion", changes to its tiny config), run one after the other on the newest input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tiny_run
import torch
from torch import nn

from ifrkit.artifacts.job import Display, Silent
from ifrkit.artifacts.store import Artifact, newest
from ifrkit.config.network import NetworkConfig
from ifrkit.config.train_flow import TrainFlowConfig
from ifrkit.config.train_fusion import TrainFusionConfig
from ifrkit.core.plugins import load
from ifrkit.core.stage import Stage
from ifrkit.models.flownet import build_flownet
from ifrkit.models.network import build_network
from ifrkit.models.video import VideoModel
from ifrkit.stages import train_flow, train_fusion
from ifrkit.stages.runner import Run, execute
from ifrkit.train import distributed

LOOP = {"steps": 4, "batch": 2, "eval_every": 2}
RUNTIME = {"workers": 0, "log_every": 1, "save_every": 1}
CLASSES = 5


def make_branches(workspace: Path, clips: Artifact) -> Artifact:
    """Both branches after one step."""
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    config = tiny_run.branches_config(branches="update,reference", ssl="none", loop=loop)
    return tiny_run.train(workspace, config, clips)


def flow_config(**changes: Any) -> TrainFlowConfig:
    """4 steps of 2 pairs."""
    config = {"width": 0.0625, "crop": (24, 32), "loop": LOOP, "runtime": RUNTIME, "warmup_share": 0.5}
    return TrainFlowConfig.of(config | changes)


def fusion_config(**changes: Any) -> TrainFusionConfig:
    """4 steps of 2 clips of 3 frames; flow is trained for 2 steps where there is none."""
    pretrain = {"width": 0.0625, "crop": (24, 32), "loop": {"steps": 2, "batch": 2, "eval_every": 1}}
    config = {"key_interval": 3, "crop": (24, 32), "warmup_steps": 2, "loop": LOOP, "runtime": RUNTIME}
    return TrainFusionConfig.of(config | {"pretrain": pretrain} | changes)


def run(
    stage: Stage,
    config: TrainFlowConfig | TrainFusionConfig,
    workspace: Path,
    inputs: Sequence[Artifact],
    *,
    resume: bool = False,
    stop: Callable[[], int] = lambda: 0,
    report: Display | None = None,
) -> Artifact:
    """The stage on these inputs."""
    return execute(
        stage, config, Run(workspace=workspace, inputs=[*inputs], resume=resume, stop=stop, display=report or Silent())
    )


def video_model(arch: str, seed: int = 0) -> VideoModel:
    """An untrained model of 5 classes in eval mode. Its flow moves things, and its classifiers tell classes apart."""
    architecture = load("architectures", arch)
    networks = [
        build_network(NetworkConfig(backbone="resnet18", width=0.0625), CLASSES, seed + i)
        for i in range(len(architecture.branches))
    ]
    model: VideoModel = architecture.build(*networks, build_flownet(0.0625, seed), CLASSES)
    torch.manual_seed(seed)
    for network in networks:
        nn.init.normal_(network.decode_head.conv_seg.weight, std=1.0)
    nn.init.normal_(model.flow.predict_flow2.weight, std=0.02)
    return model.eval()


def moving_clip(size: tuple[int, int], frames: int, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """(b, t, 3, h, w) uint8: coarse noise that slides to the right by two pixels a frame."""
    h, w = size
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 3, h // 4 + 2, (w + 2 * frames) // 4 + 2, generator=generator)
    scene = nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)
    windows = [scene[..., :h, 2 * (frames - i) : 2 * (frames - i) + w] for i in range(frames)]
    return (torch.stack(windows, 1) * 255).to(torch.uint8)


def _main(workspace: Path, runs: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """What each rank starts and ends its trainings with goes to WORKSPACE/rank-N.json, beside the artifacts."""
    modules: list[nn.Module] = []
    sums: list[list[float]] = []

    def total(module: nn.Module) -> float:
        return float(sum(p.double().sum() for p in module.parameters()))

    def watched(module: nn.Module, wrap: Callable[[nn.Module], nn.Module] = distributed.wrap) -> nn.Module:
        """Ranks must agree before DDP makes them."""
        modules.append(module)
        sums.append([total(module)])
        return wrap(module)

    distributed.wrap = watched
    for attempt, (which, changes) in enumerate(runs):
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(attempt)  # one run a process, but for this
        stage, kind, config = {
            "flow": (train_flow.STAGE, "clips", flow_config),
            "fusion": (train_fusion.STAGE, "branches", fusion_config),
        }[which]
        found = newest(workspace, (kind,))
        assert found is not None
        run(stage, config(**changes), workspace, [found])
    for before, module in zip(sums, modules, strict=True):
        before.append(total(module))
    (workspace / f"rank-{distributed.rank()}.json").write_text(json.dumps(sums))


if __name__ == "__main__":
    torch.set_num_threads(1)
    _main(Path(sys.argv[1]), json.loads(sys.argv[2]))
