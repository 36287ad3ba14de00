"""Shared by all tests: helpers are importable by name, and torch keeps to one thread, also in what a test starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
