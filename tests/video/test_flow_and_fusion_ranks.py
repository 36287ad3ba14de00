"""train-flow and train-fusion on two ranks: they end with the same weights, which are the ones that are saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_run
import tiny_video
from torch import nn

from ifrkit.artifacts.store import newest
from ifrkit.data.loading.sampler import Key, distance
from ifrkit.trained import load_flow, load_video_model


def total(module: nn.Module) -> float:
    return sum(p.double().sum().item() for p in module.parameters())


def test_ranks_train_the_same_weights(tmp_path: Path) -> None:
    """Fusion goes on from the best of its own flow, which is not the last; once the key frame is the frame itself."""
    tiny_video.make_branches(tmp_path, tiny_run.make_clips(tmp_path))
    assert [distance(Key(2, step, 0), 2) for step in range(4)] == [2, 0, 1, 0]
    flow = {"width": 0.0625, "crop": (24, 32), "lr": 0.1, "loop": {"steps": 3, "batch": 2, "eval_every": 1}}
    fusion = {"distance": "uniform", "seed": 2, "pretrain": flow}
    davss = {"arch": "davss", "ssl": "pseudo", "pretrain": flow, "loop": {"steps": 1, "batch": 4, "eval_every": 1}}
    runs = [("fusion", davss), ("fusion", fusion), ("flow", {"supervision": "photometric"})]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tiny_video.__file__, str(tmp_path), json.dumps(runs)]
    done = subprocess.run([*command, *arguments], capture_output=True, timeout=300, text=True)
    assert done.returncode == 0, done.stderr[-3000:]

    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    assert ranks[0] == ranks[1]
    assert len(ranks[0]) == 3 + 2 + 1  # flow and both phases of davss, flow and accel, flow
    assert all(start != end for start, end in ranks[0])
    model, alone = newest(tmp_path, ("video-model",)), newest(tmp_path, ("flow",))
    assert model is not None
    assert alone is not None
    assert total(load_video_model(model, "last")) == pytest.approx(ranks[0][4][1], rel=1e-12)
    best, last = (model.file(f"flow.{which}.safetensors").read_bytes() for which in ("best", "last"))
    assert best != last
    assert total(load_flow(alone)) == pytest.approx(ranks[0][5][1], rel=1e-12)  # the best is loaded at the end
