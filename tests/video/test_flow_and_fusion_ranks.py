"""train-flow and train-fusion on two ranks: they end with the same weights, which are the ones that are saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import tiny_video

from ifrkit.artifacts.store import Artifact, newest
from ifrkit.data.sampler import Key, distance
from ifrkit.models.checkpoints import load_flow, load_video_model


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranks")
    tiny_video.make_branches(path, tiny_run.make_clips(path))
    return path


def on_two_ranks(workspace: Path, which: str, changes: dict[str, Any]) -> tuple[Artifact, list[dict[str, float]]]:
    """The artifact, and the sum of the weights that each rank had before and after each training."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tiny_video.__file__, str(workspace), which, json.dumps(changes)]
    done = subprocess.run([*command, *arguments], capture_output=True, timeout=120, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    artifact = newest(workspace, ({"flow": "flow", "fusion": "video-model"}[which],))
    assert artifact is not None
    return artifact, [json.loads((workspace / f"rank-{rank}.json").read_text()) for rank in range(2)]


def test_fusion_that_trains_its_own_flow(workspace: Path) -> None:
    """Every rank goes on from the best flow, which is not the last; the key frame is now and then the frame itself."""
    assert [distance(Key(2, step, 0), 2) for step in range(4)] == [2, 0, 1, 0]
    flow = {"width": 0.0625, "crop": (24, 32), "lr": 0.1, "loop": {"steps": 2, "batch": 2, "eval_every": 1}}
    changes = {"distance": "uniform", "seed": 2, "pretrain": flow}
    artifact, ranks = on_two_ranks(workspace, "fusion", changes)
    assert ranks[0] == ranks[1]
    assert set(ranks[0]) == {
        f"{when} of {name}" for when in ("start", "end") for name in ("FlowLosses", "FusionLosses")
    }
    saved = sum(p.double().sum().item() for p in load_video_model(artifact, "last").parameters())
    assert saved == pytest.approx(ranks[0]["end of FusionLosses"], rel=1e-12)
    best, last = (artifact.file(f"flow.{which}.safetensors").read_bytes() for which in ("best", "last"))
    assert best != last


def test_photometric_flow(workspace: Path) -> None:
    artifact, ranks = on_two_ranks(workspace, "flow", {"supervision": "photometric"})
    assert ranks[0] == ranks[1]
    assert ranks[0]["start of FlowLosses"] != ranks[0]["end of FlowLosses"]
    assert artifact.manifest.metrics["best_step"] > 0
    assert all(p.isfinite().all() for p in load_flow(artifact).parameters())
