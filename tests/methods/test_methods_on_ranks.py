"""Two ranks: every method trains, and all that it trains stays the same on both."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import all_methods
import tiny_run

from ifrkit.core.plugins import names


def test_two_ranks_train_alike(tmp_path: Path) -> None:
    clips = tiny_run.make_clips(tmp_path)
    tiny_run.label(tmp_path, tiny_run.train(tmp_path, tiny_run.branches_config(ssl="none"), clips))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [all_methods.__file__, str(tmp_path), *names("methods")]
    done = subprocess.run([*command, *arguments], capture_output=True, timeout=240, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert list(first) == names("methods")
    assert all(math.isfinite(value) for value in first.values())
    assert len({*first.values()}) == len(first)
