"""What is judged: clips, and branches of them; made once for all modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_run

from ifrkit.artifacts.store import Artifact
from ifrkit.data.store.clips import ClipStore


@pytest.fixture(scope="package")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="package")
def clips(workspace: Path) -> Artifact:
    return tiny_run.make_clips(workspace, val_videos=3, clip_length=5)


@pytest.fixture(scope="package")
def store(clips: Artifact) -> ClipStore:
    return ClipStore(clips.path)


@pytest.fixture(scope="package")
def branches(workspace: Path, clips: Artifact) -> Artifact:
    """Both branches, after steps so large that predictions vary; the best weights of the reference are not its last."""
    config = tiny_run.branches_config(
        branches="update,reference",
        ssl="none",
        labeled={"partition": "1/2"},
        sgd={"lr_backbone": 0.2, "lr_head": 2.0},
        loop={"steps": 4, "batch": 2, "eval_every": 1},
        seed=3,
    )
    return tiny_run.train(workspace, config, clips)
