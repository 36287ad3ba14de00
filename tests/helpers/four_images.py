"""The same training in one process with 4 images a pass, or on two ranks with 2 each; its weights go to a file.

[torchrun --nproc-per-node 2] tests/helpers/four_images.py WORKSPACE OUT SSL RULE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import tiny_run
import torch

from ifrkit.artifacts.store import newest

if __name__ == "__main__":
    torch.set_num_threads(1)
    workspace, out, ssl, rule = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    clips = newest(workspace, ("clips",))
    assert clips is not None
    norm = {"backbone": int(rule) if rule.isdigit() else rule}
    network = {"backbone": "resnet18", "width": 0.0625, "dropout": 0.0, "norm": norm}
    loop = {"steps": 3, "batch": 4, "eval_every": 3}
    config = tiny_run.branches_config(ssl=ssl, update=network, loop=loop)
    if ssl == "ifr":  # it divides rebuilt logits by 0.01, which makes rounding visible
        config = tiny_run.branches_config(ssl=ssl, update=network, loop=loop, method={"ifr": {"logit_temperature": 1}})
    tiny_run.train(workspace, config, clips, out=out)
    assert os.environ.get("WORLD_SIZE", "1") in ("1", "2")
