"""What pages are made of: a video model of 32x48 clips and its branches, and a report of each."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_run
import tiny_video

from ifrkit.artifacts.store import Artifact
from ifrkit.config.evaluate import EvalConfig
from ifrkit.stages import evaluate, train_fusion
from ifrkit.stages.runner import Run, execute


@pytest.fixture(scope="package")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="package")
def branches(workspace: Path) -> Artifact:
    config = tiny_run.branches_config(
        branches="update,reference",
        ssl="none",
        sgd={"lr_backbone": 0.2, "lr_head": 2.0},
        loop={"steps": 4, "batch": 2, "eval_every": 1},
    )
    return tiny_run.train(workspace, config, tiny_run.make_clips(workspace, val_videos=6))


@pytest.fixture(scope="package")
def model(workspace: Path, branches: Artifact) -> Artifact:
    loop = {"steps": 2, "batch": 2, "eval_every": 1}
    return tiny_video.run(train_fusion.STAGE, tiny_video.fusion_config(loop=loop), workspace, [branches])


@pytest.fixture(scope="package")
def reports(workspace: Path, model: Artifact, branches: Artifact) -> list[Artifact]:
    """Of the video model, and of its branches."""
    options = {"metrics": "miou,tc", "flow": "truth", "frames": "all", "distances": 3, "pictures": 2}
    config = EvalConfig.of(options)
    return [execute(evaluate.STAGE, config, Run(workspace=workspace, inputs=[given])) for given in (model, branches)]
