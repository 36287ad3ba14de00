"""Shared by all tests: helpers are importable by name, torch keeps to one thread, also in what a test starts, and a
module that wants them gets a workspace of its own with the tiny clips in it. No IFRKIT_ variable of the shell counts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from ifrkit.artifacts.store import Artifact

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in [name for name in os.environ if name.startswith("IFRKIT_")]:
    del os.environ[name]  # a workspace or a limit of whoever runs the tests


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty workspace."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def clips(workspace: Path) -> Artifact:
    """The synthetic street at its smallest."""
    import tiny_run

    return tiny_run.make_clips(workspace)
