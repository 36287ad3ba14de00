"""Stages on a synthetic dataset so small that training takes a tenth of a second a step.

torchrun --nproc-per-node 2 tests/helpers/tiny_run.py WORKSPACE     trains one branch on two ranks
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ifrkit.artifacts.job import Display, Silent
from ifrkit.artifacts.store import Artifact, newest
from ifrkit.config.cache_features import CacheFeaturesConfig
from ifrkit.config.prepare import PrepareConfig
from ifrkit.config.pseudo_label import PseudoLabelConfig
from ifrkit.config.train_branches import TrainBranchesConfig
from ifrkit.data.store.clips import ClipStore
from ifrkit.stages import cache_features, prepare, pseudo_label, train_branches
from ifrkit.stages.runner import Run, execute

OPTIONS = {"train_videos": 2, "val_videos": 1, "clip_length": 5, "height": 32, "width": 48}


def make_clips(workspace: Path, **options: Any) -> Artifact:
    """A clips artifact: 32x48 frames, clips of 5."""
    config = PrepareConfig.of({"dataset": "synthetic", "options": OPTIONS | options})
    return execute(prepare.STAGE, config, Run(workspace=workspace, inputs=[]))


def branches_config(**changes: Any) -> TrainBranchesConfig:
    """One tiny update branch, 4 steps of 2 clips."""
    config = {
        "branches": "update",
        "update": {"backbone": "resnet18", "width": 0.125},
        "reference": {"backbone": "resnet34", "width": 0.125},
        "crop": {"size": (24, 32)},
        "loop": {"steps": 4, "batch": 2, "eval_every": 2},
        "runtime": {"workers": 0, "log_every": 1, "save_every": 1},
    }
    return TrainBranchesConfig.of(config | changes)


def train(
    workspace: Path,
    config: TrainBranchesConfig,
    clips: Artifact,
    *,
    out: Path | None = None,
    resume: bool = False,
    stop: Callable[[], int] = lambda: 0,
    report: Display | None = None,
) -> Artifact:
    """train-branches on these clips."""
    return execute(
        train_branches.STAGE,
        config,
        Run(
            workspace=workspace,
            inputs=[clips],
            out=out,
            resume=resume,
            stop=stop,
            display=report or Silent(),
        ),
    )


def varied_branches(workspace: Path) -> Artifact:
    """A supervised branch whose predictions vary, on clips of four frames."""
    rates = {"lr_backbone": 0.05, "lr_head": 0.5}
    return train(workspace, branches_config(ssl="none", sgd=rates), make_clips(workspace, clip_length=4))


def label(
    workspace: Path, branches: Artifact, *, resume: bool = False, stop: Callable[[], int] = lambda: 0, batch: int = 4
) -> Artifact:
    """pseudo-label by the update branch."""
    config = PseudoLabelConfig(branch="update", batch=batch)
    return execute(pseudo_label.STAGE, config, Run(workspace=workspace, inputs=[branches], resume=resume, stop=stop))


def cache(workspace: Path, clips: Artifact) -> Artifact:
    """cache-features of a narrow update branch."""
    config = CacheFeaturesConfig.of({"update": {"backbone": "resnet18", "width": 0.0625}})
    return execute(cache_features.STAGE, config, Run(workspace=workspace, inputs=[clips]))


def clips_of(artifact: Artifact) -> ClipStore:
    """The store of the clips that it was made from."""
    clips = artifact.ancestor("clips")
    assert clips is not None
    return ClipStore(clips.path)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = newest(Path(sys.argv[1]), ("clips",))
    assert found is not None
    train(Path(sys.argv[1]), branches_config(loop={"steps": 3, "batch": 4, "eval_every": 2}), found)
