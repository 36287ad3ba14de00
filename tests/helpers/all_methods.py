"""Every method for two steps, each rank saying what its weights add up to.

torchrun --nproc-per-node 2 tests/helpers/all_methods.py WORKSPACE NAME...
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import tiny_run
import torch

from ifrkit.artifacts.store import newest
from ifrkit.core.plugins import load
from ifrkit.train import stage_one

if __name__ == "__main__":
    torch.set_num_threads(1)
    workspace, names = Path(sys.argv[1]), sys.argv[2:]
    clips = newest(workspace, ("clips",))
    assert clips is not None
    tasks: list[stage_one.BranchTask] = []
    build = stage_one.BranchTask.__init__

    def remember(task: stage_one.BranchTask, *args: object) -> None:
        build(task, *args)  # type: ignore[arg-type]
        tasks.append(task)

    stage_one.BranchTask.__init__ = remember  # type: ignore[method-assign,assignment]
    sums = {}
    for attempt, name in enumerate(names):
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(attempt)  # one run a process, but for this
        options = {
            "method": {name: dict(load("methods", name).OPEN)},
            "loop": {"steps": 2, "batch": 4, "eval_every": 2},
        }
        tiny_run.train(workspace, tiny_run.branches_config(ssl=name, labeled={"partition": "1/2"}, **options), clips)
        parameters = [p for p in tasks[-1].module.parameters() if p.requires_grad]
        sums[name] = float(torch.stack([p.detach().double().sum() for p in parameters]).sum())
    (workspace / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(sums))
