"""What predicts, made once for all modules: branches and a video model of 32x48 frames whose predictions vary."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_run
import tiny_video

from ifrkit.artifacts.store import Artifact
from ifrkit.stages import train_fusion


@pytest.fixture(scope="package")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="package")
def clips(workspace: Path) -> Artifact:
    return tiny_run.make_clips(workspace)


@pytest.fixture(scope="package")
def branches(workspace: Path, clips: Artifact) -> Artifact:
    config = tiny_run.branches_config(
        branches="update,reference",
        ssl="none",
        sgd={"lr_backbone": 0.2, "lr_head": 2.0},
        loop={"steps": 3, "batch": 2, "eval_every": 3},
        seed=3,
    )
    return tiny_run.train(workspace, config, clips)


@pytest.fixture(scope="package")
def model(workspace: Path, branches: Artifact) -> Artifact:
    loop = {"steps": 1, "batch": 2, "eval_every": 1}
    config = tiny_video.fusion_config(loop=loop, pretrain={"width": 0.0625, "crop": (24, 32), "loop": loop})
    return tiny_video.run(train_fusion.STAGE, config, workspace, [branches])
